package pglab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Setting is an option of a server at its creation. Of two for the same thing
// the later one counts.
type Setting func(*spec)

// spec is how a server is configured.
type spec struct {
	conf      map[string]string
	hba       []string // for clients by TCP
	authority *Authority
}

func newSpec() spec {
	return spec{
		conf: map[string]string{"listen_addresses": "127.0.0.1"},
		hba:  []string{"host all all 127.0.0.0/8 scram-sha-256"},
	}
}

// Conf sets a parameter of postgresql.conf, where value is written as a quoted
// string. Paths, port and addresses are the lab's business.
func Conf(key, value string) Setting {
	return func(s *spec) { s.conf[key] = value }
}

// AllLoopback makes the server reachable by every address of 127.0.0.0/8. For
// that it listens on all addresses of the machine, but pg_hba.conf, unless
// other lines are given, knows no client outside loopback.
func AllLoopback() Setting {
	return Conf("listen_addresses", "0.0.0.0")
}

// HBA sets the lines of pg_hba.conf for clients by TCP. Without it, any role
// may connect from 127.0.0.0/8 with its password (scram-sha-256).
func HBA(lines ...string) Setting {
	return func(s *spec) { s.hba = lines }
}

// Trust lets User, and nobody else, connect from 127.0.0.0/8, without a
// password: what scram-sha-256 costs would blur a measurement.
func Trust() Setting {
	return HBA("host all " + User + " 127.0.0.0/8 trust")
}

// TLS switches ssl on, with a certificate of a for localhost, 127.0.0.1 and
// ::1. Clients may still connect without it, unless HBA demands hostssl.
func TLS(a *Authority) Setting {
	return func(s *spec) { s.authority = a }
}

// inherit takes over from a master what a slave may not have less of.
func (s *Server) inherit(of *Server) {
	for _, key := range []string{"max_connections", "max_worker_processes", "max_wal_senders",
		"max_prepared_transactions", "max_locks_per_transaction"} {
		value, known := of.spec.conf[key]
		if _, own := s.spec.conf[key]; known && !own {
			s.spec.conf[key] = value
		}
	}
}

// The files stand outside the data folder, where neither pg_basebackup nor
// pg_rewind replaces them by those of another server.
func (s *Server) confFile() string { return filepath.Join(s.dir, "postgresql.conf") }
func (s *Server) hbaFile() string  { return filepath.Join(s.dir, "pg_hba.conf") }

func (s *Server) writeFiles() error {
	hba := slices.Concat([]string{"local all all trust", "local replication all trust"}, s.spec.hba,
		[]string{"host replication " + replicator + " 127.0.0.0/8 trust", ""})
	return errors.Join(
		os.WriteFile(s.confFile(), []byte(s.confText()), 0o644),
		os.WriteFile(s.hbaFile(), []byte(strings.Join(hba, "\n")), 0o644))
}

// confText is the configuration: what makes a lab quick, what pg_rewind needs,
// then what was asked for, then what is not the caller's to choose.
func (s *Server) confText() string {
	conf := map[string]string{
		"fsync":                       "off",
		"shared_buffers":              "8MB",
		"dynamic_shared_memory_type":  "mmap", // in the data folder, so that a kill leaves nothing
		"autovacuum":                  "off",
		"wal_keep_size":               "64MB",
		"wal_log_hints":               "on",
		"wal_retrieve_retry_interval": "100ms",
		"log_line_prefix":             "%m [%p] %a ",
		"cluster_name":                s.name,
	}
	maps.Copy(conf, s.spec.conf)
	maps.Copy(conf, map[string]string{
		"port":                    fmt.Sprint(s.Port()),
		"unix_socket_directories": s.SocketDir(),
		"hba_file":                s.hbaFile(),
		"ident_file":              filepath.Join(s.data(), "pg_ident.conf"),
	})
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		fmt.Fprintf(&text, "%s = '%s'\n", key, strings.ReplaceAll(conf[key], "'", "''"))
	}
	return text.String()
}

// SetConf sets a parameter and, if the server runs, reloads it: sessions opened
// after the return see the new value, others a moment later. A parameter that
// needs a restart waits for Restart. The server must be able to run SQL.
func (s *Server) SetConf(ctx context.Context, key, value string) error {
	s.spec.conf[key] = value
	if err := s.apply(ctx); err != nil {
		return fmt.Errorf("set %s on %s: %w", key, s.name, err)
	}
	return nil
}

// SetHBA replaces the lines of pg_hba.conf for clients by TCP and, if the
// server runs, reloads it. Open connections stay, and slaves may still connect
// unless a line rejects replication. The server must be able to run SQL.
func (s *Server) SetHBA(ctx context.Context, lines ...string) error {
	s.spec.hba = lines
	if err := s.apply(ctx); err != nil {
		return fmt.Errorf("set pg_hba.conf of %s: %w", s.name, err)
	}
	return nil
}

// complaints lists what a running server does not accept of its files.
const complaints = `
SELECT name || ': ' || error FROM pg_file_settings f WHERE error IS NOT NULL
AND NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = f.name AND pending_restart)
UNION ALL SELECT 'line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL`

// apply writes the files and makes a running server read them.
func (s *Server) apply(ctx context.Context) error {
	if err := s.writeFiles(); err != nil {
		return err
	}
	if !s.Running() {
		return nil
	}
	if err := s.reload(ctx); err != nil {
		return err
	}
	wrong, err := s.SQL(ctx, complaints)
	if err == nil && wrong != "" {
		err = errors.New(wrong)
	}
	return err
}

// reload returns when new sessions see the configuration.
func (s *Server) reload(ctx context.Context) error {
	const loaded = "SELECT pg_conf_load_time()"
	before, err := s.SQL(ctx, loaded)
	if err != nil {
		return err
	}
	if err := signal(syscall.SIGHUP, s.process().pid); err != nil {
		return err
	}
	return poll(ctx, 5*time.Millisecond, "reload", func(ctx context.Context) (bool, error) {
		now, err := s.SQL(ctx, loaded)
		return now != before, err
	})
}
