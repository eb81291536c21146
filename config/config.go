package config

import (
	"log/slog"
	"slices"
	"time"

	"plusmoin/cluster"
)

// Config is a whole configuration. Every setting has its default where the
// file says nothing. It is shared by its readers: its slices and maps must not
// be written to.
type Config struct {
	// These say how to log on; they are the same for all nodes. What is ""
	// is left to the driver.
	DBName      string
	User        string
	Password    Secret
	PassFile    string
	SSLMode     string // one of libpq's words, never ""
	SSLRootCert string
	SSLCert     string // set together with SSLKey
	SSLKey      string
	// RequireAuth and ChannelBinding are in libpq's words; RequireAuth may be
	// "", ChannelBinding never is.
	RequireAuth    string
	ChannelBinding string

	ConnectTimeout     time.Duration // above 0
	QueryTimeout       time.Duration // above 0, at most QueryCeiling
	ConnectionLifetime time.Duration // above 0
	IsSlaveStatement   string

	Heartbeat        Heartbeat
	FailInterval     time.Duration // 0: at the first failure
	MaxSyncDelay     time.Duration
	RecoverSyncDelay time.Duration        // at most MaxSyncDelay
	Nodes            []cluster.NodeConfig // each node once, in the order of the file

	// Triggers has the command lines of every trigger that is to run, by the
	// name of the command, which is "" for one that has none. A shell command
	// has become the command line of a shell.
	Triggers       map[cluster.Kind]map[string][]string
	TriggerTimeout time.Duration // above 0

	LogFile    string
	LogLevel   slog.Level
	LogFormat  string // FormatText or FormatJSON
	DaemonUser string
	PidFile    string
	StatusFile string
	StateDir   string // where plusmoin keeps what is to outlast it, "" for nowhere
}

// The formats of the log.
const (
	FormatText = "text"
	FormatJSON = "json"
)

// Cluster returns what judging needs of c.
func (c Config) Cluster() cluster.Config {
	return cluster.Config{
		FailInterval: c.FailInterval,
		MaxSyncDelay: c.MaxSyncDelay,
		Nodes:        slices.Clone(c.Nodes),
	}
}

// QueryCeiling returns the highest query_timeout that c admits, which is also
// its default: a round must neither outlast a heartbeat by much nor wait longer
// than a connect may.
func (c Config) QueryCeiling() time.Duration {
	return min(c.ConnectTimeout, max(c.Heartbeat.Interval, time.Second), 5*time.Second)
}

// Diff returns the keys in which two configurations differ and which a running
// monitor cannot change. All other keys take effect by a reload.
func Diff(running, wanted Config) []string {
	var keys []string
	for _, fixed := range []struct{ key, running, wanted string }{
		{"daemon_user", running.DaemonUser, wanted.DaemonUser},
		{"pid_file", running.PidFile, wanted.PidFile},
		{"status_file", running.StatusFile, wanted.StatusFile},
		{"state_dir", running.StateDir, wanted.StateDir},
	} {
		if fixed.running != fixed.wanted {
			keys = append(keys, fixed.key)
		}
	}
	return keys
}
