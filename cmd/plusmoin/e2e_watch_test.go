//go:build linux

package main_test

import (
	"cmp"
	"encoding/json"
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
	"plusmoin/status"
)

// The stories of the e2e files run plusmoin as an operator would, as a process
// of its own, on real PostgreSQL servers. They say what happens to the servers
// and exactly what plusmoin is to tell of it: an event too many, an event too
// few or one in the wrong place fails the story.

// patience is how long a story waits for what must happen.
const patience = 25 * time.Second

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

// watch is plusmoin watching the nodes of a story.
type watch struct {
	t     *testing.T
	dir   string   // of the configuration, the events and the log
	place string   // of status.json, as the story sees it
	wrap  []string // a command line that runs plusmoin's
	conf  conf
	names map[string]string // by address

	process *os.Process
	ended   chan error // how the process ended; capacity 1
	read    int64      // of the file of events
	events  []event    // all, in the order of their ids
	run     int        // where those of the process begin
	told    int        // where those begin that the story has not spoken of
	release func()     // frees what is needed to the end; nil if nothing is
}

// newWatch prepares a watch. What over says goes before what every story has.
func newWatch(t *testing.T, over conf, nodes ...node) *watch {
	t.Helper()
	dir := t.TempDir()
	w := &watch{t: t, dir: dir, place: filepath.Join(dir, "run"), names: map[string]string{}}
	must(t, os.Mkdir(w.place, 0o755))
	w.conf = conf{
		"dbname": pglab.Database, "user": pglab.User, "password": pglab.Password,
		"heartbeat": 0.5, "fail_interval": 1, "max_sync_delay": 4, "recover_sync_delay": 2,
		"connect_timeout": 3, "trigger_timeout": 20, "log_level": "debug",
		"status_file": filepath.Join(dir, "run", "status.json"),
		"pid_file":    filepath.Join(dir, "plusmoin.pid"),
		"log_file":    filepath.Join(dir, "unused.log"),
		"triggers":    w.recorders(),
	}
	maps.Copy(w.conf, over)
	w.configure(nil, nodes...)
	t.Cleanup(w.close)
	return w
}

// recorders are triggers that append what they read to a file, each in a single
// write, so that those of two clusters do not mix.
func (w *watch) recorders() conf {
	triggers := conf{}
	for _, k := range cluster.Kinds() {
		triggers[string(k)] = w.recorder()
	}
	return triggers
}

func (w *watch) recorder() []string {
	return []string{"dd", "of=" + w.eventsFile(), "oflag=append", "conv=notrunc", "bs=4M", "iflag=fullblock", "status=none"}
}

func (w *watch) eventsFile() string { return filepath.Join(w.dir, "events.jsonl") }
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
		w.names[n.address()] = n.name
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
	w.events = w.list()
	w.run, w.told = len(w.events), len(w.events)
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
	w.expect()
	last := w.status()
	if last.State != status.Stopped {
		w.t.Errorf("state %q in the last status.json, want stopped", last.State)
	}
	text, err := os.ReadFile(w.statusFile())
	must(w.t, err)
	checkStatus(w.t, text)
	checkReplay(w.t, w.events[w.run:], last)
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
	for _, e := range w.list() {
		w.t.Logf("event %d at %s: %s", e.EventID, e.Time.Format(time.StampMilli), w.prose(e))
	}
	w.t.Logf("names: %v", w.names)
}

func (w *watch) log() string {
	text, err := os.ReadFile(w.logFile())
	if err != nil && !os.IsNotExist(err) {
		w.t.Error(err)
	}
	return string(text)
}

// expect waits until these are told and checks that they, and nothing else, are
// all that was told since the story last spoke of events. Each is the kind, the
// cluster and, if it is about one, the node.
func (w *watch) expect(want ...string) {
	w.t.Helper()
	w.poll(func() bool {
		w.events = w.list()
		return len(w.events)-w.told >= len(want)
	})
	got := []string{}
	for _, e := range w.events[w.told:] {
		got = append(got, w.prose(e))
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("told %q, want %q", got, want)
	}
	w.told = len(w.events)
}

// last returns the event that was told last.
func (w *watch) last() event { return w.events[len(w.events)-1] }

// quiet lets plusmoin do some more rounds and checks that it tells nothing.
func (w *watch) quiet(rounds uint64) {
	w.t.Helper()
	until := w.status().Round.Number + rounds
	w.until("rounds go on", func(d status.Document) bool { return d.Round.Number >= until })
	w.expect()
}

// status returns what status.json says.
func (w *watch) status() status.Document {
	w.t.Helper()
	d, err := status.Read(w.statusFile())
	must(w.t, err)
	return d
}

// until waits for status.json to show something.
func (w *watch) until(what string, shown func(status.Document) bool) {
	w.t.Helper()
	if !w.poll(func() bool {
		d, err := status.Read(w.statusFile())
		return err == nil && shown(d)
	}) {
		w.t.Fatalf("status.json within %v: never %s", patience, what)
	}
}

// untilReason waits until status.json gives this reason for a node, "" for none.
func (w *watch) untilReason(name string, want cluster.Reason) {
	w.t.Helper()
	w.until(name+" is "+cmp.Or(string(want), "well"), func(d status.Document) bool {
		got := d.Nodes[w.address(name)].Reason
		return got == nil && want == "" || got != nil && *got == want
	})
}

// untilDiagnosis waits until status.json gives this diagnosis of a cluster.
func (w *watch) untilDiagnosis(id int, want cluster.Diagnosis) {
	w.t.Helper()
	w.until("the diagnosis "+string(want), func(d status.Document) bool {
		return slices.ContainsFunc(d.Clusters, func(c cluster.Cluster) bool { return c.ID == id && c.Diagnosis == want })
	})
}

// detail returns what status.json says of a node.
func (w *watch) detail(name string) cluster.Detail {
	w.t.Helper()
	d, ok := w.status().Nodes[w.address(name)]
	if !ok {
		w.t.Fatalf("%s is not in status.json", name)
	}
	return d
}

func (w *watch) address(name string) string {
	for address, n := range w.names {
		if n == name {
			return address
		}
	}
	w.t.Fatalf("no node %s", name)
	return ""
}

// poll asks until the answer is yes, or patience has ended.
func (w *watch) poll(yes func() bool) bool {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		switch {
		case yes():
			return true
		case time.Now().After(deadline):
			return false
		}
		select {
		case err := <-w.ended:
			w.ended <- err
			w.t.Fatalf("plusmoin has ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
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
