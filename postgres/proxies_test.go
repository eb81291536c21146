package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// pgbouncer gives every transaction another session. It works all the same, also
// for two of us and beside a standby that is not there.
func TestPgbouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"session", "transaction"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			lab := pglab.New(t, pglab.Trust())
			server, err := lab.Master(t.Context(), "m")
			must(t, err)
			n := pgbouncer(t, server, mode, "ignore_startup_parameters = lock_timeout, statement_timeout, synchronous_commit")
			fleets := []*Fleet{openFleet(t, labSettings()), openFleet(t, labSettings())}
			for _, f := range fleets {
				lookUntil(t, f, n, answered)
			}
			must(t, server.SetConf(t.Context(), "synchronous_standby_names", "nobody"))
			for i := range 5 {
				for j, f := range fleets {
					stamp := cluster.Stamp(10*i+j+1) * 1_000_000
					confirmed(t, sendBeat(t, f, beatOf(1, n, stamp)))
					if seen := lookAt(t, f, n); !answered(seen) || seen.Row == nil || seen.Row.Stamp != stamp {
						t.Fatalf("%+v", seen)
					}
				}
			}
			if mode == "session" {
				return
			}
			// What others find in the sessions is as it was.
			if got := through(t, n, "SHOW jit"); got != "on" {
				t.Errorf("jit is %s", got)
			}
		})
	}
	t.Run("as it is installed", func(t *testing.T) {
		t.Parallel()
		lab := pglab.New(t, pglab.Trust())
		server, err := lab.Master(t.Context(), "m")
		must(t, err)
		n := pgbouncer(t, server, "session", "")
		seen := lookUntil(t, openFleet(t, labSettings()), n, because(cluster.ReasonBadAnswer))
		if !strings.Contains(seen.Error, "ignore_startup_parameters") {
			t.Errorf("%s", seen.Error)
		}
	})
}

// through asks one thing through a pooler.
func through(t *testing.T, n cluster.Node, query string) string {
	t.Helper()
	s, err := establish(t.Context(), t.Context(), labSettings(), n, &way{})
	must(t, err)
	defer s.close()
	replies, err := s.ask(&statement{sql: query})
	must(t, err)
	return field(replies[0].only(), 0)
}

// pgpool2 answers one session from several servers. It is told for what it is.
func TestPgpool(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t, pglab.Trust())
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	direct := openFleet(t, labSettings())
	lookUntil(t, direct, nodeOf(servers[0]), answered)
	confirmed(t, sendBeat(t, direct, beatOf(1, nodeOf(servers[0]), 1)))
	must(t, servers[1].CatchUp(t.Context()))
	n := pgpool(t, servers)
	for range 3 {
		f := openFleet(t, labSettings())
		for range 5 {
			seen := lookUntil(t, f, n, func(s cluster.Sighting) bool {
				return s.Outcome == cluster.Failed && s.Reason != cluster.ReasonRefused
			})
			if seen.Reason != cluster.ReasonBadAnswer || !strings.Contains(seen.Error, "proxy") {
				t.Fatalf("%+v", seen)
			}
		}
	}
}

// pgbouncer runs one before a server.
func pgbouncer(t *testing.T, s *pglab.Server, mode, more string) cluster.Node {
	t.Helper()
	return daemon(t, "pgbouncer", func(dir string, port int) []string {
		file := func(name, text string) string {
			path := filepath.Join(dir, name)
			must(t, os.WriteFile(path, []byte(text), 0o644))
			return path
		}
		users := file("users", `"plusmoin" "carrotcake"`+"\n")
		return []string{file("pgbouncer.ini", fmt.Sprintf(`[databases]
plusmoin = host=127.0.0.1 port=%d user=plusmoin
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
auth_file = %s
pool_mode = %s
default_pool_size = 3
%s
`, s.Port(), port, users, mode, more))}
	})
}

// pgpool runs one before servers, the first of which is the master.
func pgpool(t *testing.T, servers []*pglab.Server) cluster.Node {
	t.Helper()
	return daemon(t, "pgpool", func(dir string, port int) []string {
		conf := fmt.Sprintf(`listen_addresses = '127.0.0.1'
port = %d
pcp_port = %d
socket_dir = '%s'
pcp_socket_dir = '%s'
logdir = '%s'
pid_file_name = '%s/pid'
backend_clustering_mode = 'streaming_replication'
load_balance_mode = on
num_init_children = 8
sr_check_user = 'plusmoin'
sr_check_database = 'plusmoin'
sr_check_period = 1
health_check_period = 0
enable_pool_hba = off
`, port, freePort(t), dir, dir, dir, dir)
		for i, s := range servers {
			conf += fmt.Sprintf("backend_hostname%d = '127.0.0.1'\nbackend_port%d = %d\nbackend_weight%d = %d\n", i, i, s.Port(), i, i)
		}
		path, none := filepath.Join(dir, "pgpool.conf"), filepath.Join(dir, "none")
		must(t, os.WriteFile(path, []byte(conf), 0o644))
		must(t, os.WriteFile(none, nil, 0o644))
		return []string{"-n", "-f", path, "-F", none, "-a", none}
	})
}

// daemon runs a program in front of servers, as another user than root, until the
// test ends.
func daemon(t *testing.T, program string, configure func(dir string, port int) []string) cluster.Node {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/" + program
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed; hint: scripts/need %s", program, strings.TrimSuffix(program, "2"))
	}
	dir, err := os.MkdirTemp("", "pmproxy") // short, for the sake of its sockets, and not below a folder of root's
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	port := freePort(t)
	args := append([]string{path}, configure(dir, port)...)
	if os.Geteuid() == 0 {
		args = append([]string{"setpriv", "--reuid=postgres", "--clear-groups"}, args...)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of %s:\n%s", program, text[max(0, len(text)-4000):])
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group is ours
		_ = cmd.Wait()
		log.Close()
	})
	n := cluster.Node{Host: "127.0.0.1", Port: port}
	until(t, func() bool {
		conn, err := net.Dial("tcp", n.String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, func() {})
	return n
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
