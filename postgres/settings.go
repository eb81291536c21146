package postgres

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"plusmoin/cluster"
)

// Password is a secret: it is printed, logged and marshalled as stars.
type Password string

const redacted = "***"

// String returns stars, or nothing for an empty password.
func (p Password) String() string {
	if p == "" {
		return ""
	}
	return redacted
}

// GoString returns stars.
func (p Password) GoString() string { return strconv.Quote(p.String()) }

// LogValue returns stars.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns stars.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Settings say how to reach the servers. They hold for all nodes.
type Settings struct {
	DBName   string // as libpq: empty means the name of the user
	User     string // as libpq: empty means the user of the system
	Password Password
	PassFile string // read at every connect when Password is empty; empty means ~/.pgpass

	// The words of libpq. The files are read at every connect; empty ones
	// mean those in ~/.postgresql if they exist, as with libpq.
	SSLMode     string
	SSLRootCert string
	SSLCert     string
	SSLKey      string

	// RequireAuth and ChannelBinding say how a server may have us log on, by
	// libpq's words; "" is anything, and prefer. A password goes as it is over
	// a connection without TLS to another host only if RequireAuth says
	// password.
	RequireAuth    string
	ChannelBinding string

	// IsSlaveStatement is sent as it stands, with the search_path that the role
	// has, and must give one row with one boolean.
	IsSlaveStatement string

	ConnectTimeout time.Duration // for a whole connect, all addresses of a name together
	QueryTimeout   time.Duration // for one look or one beat
	// ConnectionLifetime is the age at which a connection is renewed; 0 keeps
	// it for as long as it works.
	ConnectionLifetime time.Duration
	// Heartbeat is the longest time between two connects to a node that stays
	// down and is not urgent, see Look. 0 connects at every look and only then.
	Heartbeat time.Duration
}

// check says what is wrong with s, as far as that can be known without a
// server.
func (s Settings) check() error {
	switch {
	case s.ConnectTimeout <= 0:
		return errors.New("connect timeout must be above 0")
	case s.QueryTimeout <= 0:
		return errors.New("query timeout must be above 0")
	case s.ConnectionLifetime < 0:
		return errors.New("connection lifetime must not be negative")
	case s.Heartbeat < 0:
		return errors.New("heartbeat must not be negative")
	case strings.TrimSpace(s.IsSlaveStatement) == "":
		return errors.New("is_slave_statement is empty")
	case !slices.Contains(sslModes, cmp.Or(s.SSLMode, "prefer")):
		return fmt.Errorf("sslmode %q is none of %s", s.SSLMode, strings.Join(sslModes, ", "))
	case !slices.Contains(bindings, cmp.Or(s.ChannelBinding, "prefer")):
		return fmt.Errorf("channel_binding %q is none of %s", s.ChannelBinding, strings.Join(bindings, ", "))
	}
	_, err := s.login(cluster.Node{Host: "localhost", Port: 5432})
	return err
}

// The words of libpq for sslmode and channel_binding.
var (
	sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
	bindings = []string{"disable", "prefer", "require"}
)

// patience is how long an exchange may take on our side. The rest of
// QueryTimeout is for telling the outcome, so that a look that waits for
// exactly that long hears of the timeout.
func (s Settings) patience() time.Duration { return s.QueryTimeout * 9 / 10 }

// maxMessage bounds what one message of a server can make us hold, in bytes.
const maxMessage = 1 << 18

// login is all that one connect needs.
type login struct {
	node                     cluster.Node
	user, database, password string
	lack                     string      // why there is no password
	mode                     string      // of TLS, by libpq's word
	tls                      *tls.Config // nil if there is to be none
	binding                  string      // by libpq's word
	policy                   policy
	parameters               map[string]string
}

// login reads the files that s names. Nothing is taken from the environment but
// the home directory.
func (s Settings) login(n cluster.Node) (*login, error) {
	if strings.Contains(n.Host, ",") {
		return nil, configError{fmt.Errorf("host %q: a node has one host", n.Host)}
	}
	user, err := s.userName()
	if err != nil {
		return nil, configError{err}
	}
	p, err := parsePolicy(s.RequireAuth)
	if err != nil {
		return nil, configError{err}
	}
	config, err := s.certificates(n.Host)
	if err != nil {
		return nil, configError{err}
	}
	l := &login{
		node: n, user: user, database: cmp.Or(s.DBName, user), password: string(s.Password),
		mode: s.sslMode(), tls: config, binding: cmp.Or(s.ChannelBinding, "prefer"), policy: p,
		parameters: s.session(),
	}
	if config == nil {
		l.mode = "disable"
	}
	if l.password == "" {
		l.password, l.lack = fromPassfile(s.passFile(), n, l.database, user)
	}
	return l, nil
}

// userName returns the role to log on as.
func (s Settings) userName() (string, error) {
	if s.User != "" {
		return s.User, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("no user is set: %w", err)
	}
	return u.Username, nil
}

func (s Settings) passFile() string {
	if s.Password != "" {
		return ""
	}
	if home, err := os.UserHomeDir(); err == nil {
		return cmp.Or(s.PassFile, filepath.Join(home, ".pgpass"))
	}
	return s.PassFile
}

// homeFile returns the path of a file in ~/.postgresql, "" if there is none.
func homeFile(name string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	path := filepath.Join(home, ".postgresql", name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// configError is an error of the settings, not of a server.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }
