//go:build linux

package main_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/internal/story"
)

// The stories of the e2e files run plusmoin as an operator would, as a process
// of its own, on real PostgreSQL servers. They say what happens to the servers
// and exactly what plusmoin is to tell of it: an event too many, an event too
// few or one in the wrong place fails the story.

// conf is part of a configuration.
type conf map[string]any

// node is an entry of the list of nodes, with the name that the story calls it.
type node struct {
	name, host string
	port       int
	own        conf
}

func (n node) address() string { return cluster.Node{Host: n.host, Port: n.port}.String() }

func nodesOf(servers ...*pglab.Server) []node {
	list := make([]node, len(servers))
	for i, s := range servers {
		list[i] = node{name: s.Name(), host: s.Host(), port: s.Port()}
	}
	return list
}

// watch is plusmoin watching the nodes of a story, as a process.
type watch struct {
	*story.Watch
	t     *testing.T
	dir   string   // of the configuration, the events and the log
	place string   // of status.json, as the story sees it
	wrap  []string // a command line that runs plusmoin's
	conf  conf

	process *os.Process
	ended   chan error // how the process ended; capacity 1
	release func()     // frees what is needed to the end; nil if nothing is
}

// newWatch prepares a watch. What over says goes before what every story has.
func newWatch(t *testing.T, over conf, nodes ...node) *watch {
	t.Helper()
	dir := t.TempDir()
	w := &watch{t: t, dir: dir, place: filepath.Join(dir, "run")}
	w.Watch = story.New(t, filepath.Join(dir, "events.jsonl"), func() ([]byte, error) { return os.ReadFile(w.statusFile()) })
	w.Ended = w.hasEnded
	must(t, os.Mkdir(w.place, 0o755))
	w.conf = conf{
		"dbname": pglab.Database, "user": pglab.User, "password": pglab.Password,
		"heartbeat": 0.5, "fail_interval": 1, "max_sync_delay": 4, "recover_sync_delay": 2,
		"connect_timeout": 3, "trigger_timeout": 20, "log_level": "debug",
		"status_file": filepath.Join(dir, "run", "status.json"),
		"pid_file":    filepath.Join(dir, "plusmoin.pid"),
		"log_file":    filepath.Join(dir, "unused.log"),
		"triggers":    story.Recorder(w.EventsFile),
	}
	maps.Copy(w.conf, over)
	w.configure(nil, nodes...)
	t.Cleanup(w.close)
	return w
}

func (w *watch) statusFile() string { return filepath.Join(w.place, "status.json") }
func (w *watch) logFile() string    { return filepath.Join(w.dir, "log") }
func (w *watch) configFile() string { return filepath.Join(w.dir, "plusmoin.json") }

// configure writes the configuration file with changes, which stay, and the
// nodes.
func (w *watch) configure(change conf, nodes ...node) {
	w.t.Helper()
	maps.Copy(w.conf, change)
	list := []conf{}
	for _, n := range nodes {
		w.Name[n.address()] = n.name
		entry := conf{"host": n.host, "port": n.port}
		maps.Copy(entry, n.own)
		list = append(list, entry)
	}
	w.conf["nodes"] = list
	text, err := json.MarshalIndent(w.conf, "", "  ")
	must(w.t, err)
	must(w.t, os.WriteFile(w.configFile(), text, 0o600))
}

// start starts plusmoin. The test binary is plusmoin: see TestMain.
func (w *watch) start() {
	w.t.Helper()
	self, err := os.Executable()
	must(w.t, err)
	log, err := os.OpenFile(w.logFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(w.t, err)
	defer log.Close()
	line := slices.Concat(w.wrap, []string{self, "-c", w.configFile(), "-x", "start"})
	cmd := exec.Command(line[0], line[1:]...)
	// Built with the race detector, a program sleeps a second when it exits.
	cmd.Env = append(os.Environ(), "PLUSMOIN_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
	must(w.t, cmd.Start())
	w.Begin()
	w.process, w.ended = cmd.Process, make(chan error, 1)
	ended := w.ended
	go func() { ended <- cmd.Wait() }()
}

func (w *watch) signal(s os.Signal) {
	w.t.Helper()
	must(w.t, w.process.Signal(s))
}

// stop ends plusmoin as an operator would, and checks all that must be true of
// a whole run.
func (w *watch) stop() {
	w.t.Helper()
	w.signal(syscall.SIGTERM)
	select {
	case err := <-w.ended:
		w.process = nil
		if err != nil {
			w.t.Fatalf("plusmoin after SIGTERM: %v, want exit code 0", err)
		}
	case <-time.After(10 * time.Second):
		w.t.Fatal("plusmoin still runs 10 s after SIGTERM")
	}
	w.Close()
}

// hasEnded says how the process ended, if it has.
func (w *watch) hasEnded() error {
	select {
	case err := <-w.ended:
		w.ended <- err
		return fmt.Errorf("plusmoin has ended: %w", cmp.Or(err, errors.New("exit code 0")))
	default:
		return nil
	}
}

// kill ends plusmoin as no operator should.
func (w *watch) kill() {
	w.t.Helper()
	w.signal(syscall.SIGKILL)
	<-w.ended
	w.process = nil
}

// close leaves nothing behind and shows what happened if the test has failed.
func (w *watch) close() {
	if w.release != nil {
		defer w.release()
	}
	if w.process != nil {
		_ = w.process.Kill() // it may have ended
		<-w.ended
	}
	if strings.Contains(w.log(), "DATA RACE") {
		w.t.Error("plusmoin has a data race")
	}
	if !w.t.Failed() {
		return
	}
	for _, f := range []struct {
		name string
		most int
	}{{w.configFile(), 4000}, {w.statusFile(), 12000}, {w.logFile(), 12000}} {
		text, err := os.ReadFile(f.name)
		w.t.Logf("%s: %s %v", filepath.Base(f.name), text[max(0, len(text)-f.most):], err)
	}
	w.t.Log(w.Report())
}

func (w *watch) log() string {
	text, err := os.ReadFile(w.logFile())
	if err != nil && !os.IsNotExist(err) {
		w.t.Error(err)
	}
	return string(text)
}

// cast creates a cluster, the first name being its master.
func cast(t *testing.T, lab *pglab.Lab, names ...string) []*pglab.Server {
	t.Helper()
	servers, err := lab.Cluster(t.Context(), names...)
	must(t, err)
	return servers
}

// query returns the answer of a server.
func query(t *testing.T, s *pglab.Server, sql string) string {
	t.Helper()
	answer, err := s.SQL(t.Context(), sql)
	must(t, err)
	return answer
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
