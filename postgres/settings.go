package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

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
	case os.Getenv("PGSERVICE") != "":
		// The library gives no way to keep it out of a connection.
		return errors.New("PGSERVICE is set: connection settings are not taken from the environment, unset it")
	}
	_, err := s.config(cluster.Node{Host: "localhost", Port: 5432})
	return err
}

// patience is how long an exchange may take on our side. The rest of
// QueryTimeout is for telling the outcome, so that a look that waits for
// exactly that long hears of the timeout.
func (s Settings) patience() time.Duration { return s.QueryTimeout * 9 / 10 }

// config returns what the library needs to connect to n. It reads the files
// that s names.
func (s Settings) config(n cluster.Node) (*pgconn.Config, error) {
	if strings.Contains(n.Host, ",") {
		return nil, configError{fmt.Errorf("host %q: a node has one host", n.Host)}
	}
	words, err := s.words(n)
	if err != nil {
		return nil, configError{err}
	}
	config, err := pgconn.ParseConfig(connString(words))
	if err != nil {
		// The text of the error itself quotes the whole connection string.
		return nil, configError{cmp.Or(errors.Unwrap(err), errors.New("wrong host, port or sslmode"))}
	}
	if s.Password != "" {
		config.Password = string(s.Password)
	}
	config.ConnectTimeout = 0 // the context has the deadline
	config.RuntimeParams = s.session()
	config.MaxProtocolMessageBodyLen = maxMessage
	config.OnPgError = func(_ *pgconn.PgConn, e *pgconn.PgError) bool { return !fatal(e) }
	return config, nil
}

// maxMessage bounds what one message of a server can make us hold, in bytes.
const maxMessage = 1 << 18

// words returns a connection string's words. It has one for every PG* variable
// that the library reads, since what is not said it takes from there. The
// password is not among them, so that no error can quote it.
func (s Settings) words(n cluster.Node) ([][2]string, error) {
	name := s.User
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("no user is set: %w", err)
		}
		name = u.Username
	}
	cert, key := s.SSLCert, s.SSLKey
	if cert == "" && key == "" {
		cert, key = homeFile("postgresql.crt"), homeFile("postgresql.key")
		if cert == "" || key == "" {
			cert, key = "", ""
		}
	}
	return [][2]string{
		{"host", n.Host}, {"port", strconv.Itoa(n.Port)},
		{"dbname", s.DBName}, {"user", name},
		{"password", ""}, {"passfile", s.passFile()},
		{"connect_timeout", "0"}, {"target_session_attrs", "any"},
		{"sslmode", cmp.Or(s.SSLMode, "prefer")},
		{"sslrootcert", cmp.Or(s.SSLRootCert, homeFile("root.crt"))},
		{"sslcert", cert}, {"sslkey", key},
		{"sslcertmode", "allow"}, {"sslsni", "1"}, {"sslpassword", ""}, {"sslnegotiation", "postgres"},
		{"channel_binding", "prefer"}, {"require_auth", ""},
		{"min_protocol_version", "3.0"}, {"max_protocol_version", "3.0"},
	}, nil
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

var escape = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

func connString(words [][2]string) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, "%s='%s' ", w[0], escape.Replace(w[1]))
	}
	return b.String()
}

// configError is an error of the settings, not of a server.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }
