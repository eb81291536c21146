package triggers_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// lab is a Runner with a folder for its scripts, which they know as $DIR.
type lab struct {
	*triggers.Runner
	t        *testing.T
	dir      string
	log      *logBook
	settings triggers.Settings
}

// newLab makes a Runner with one shell script for every kind of event. What is
// zero in the settings is as New has it.
func newLab(t *testing.T, script string, s triggers.Settings) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), log: &logBook{}}
	s.Environ = append(s.Environ, "PATH="+os.Getenv("PATH"))
	if s.Commands == nil {
		s.Commands = shell(script)
	}
	l.settings = s
	l.Runner = triggers.New(l.told(s), slog.New(slog.NewJSONHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { l.Close(0) })
	return l
}

// Reconfigure is that of the Runner, for commands that know $DIR.
func (l *lab) Reconfigure(s triggers.Settings) { l.Runner.Reconfigure(l.told(s)) }

// told returns settings whose shell scripts know $DIR.
func (l *lab) told(s triggers.Settings) triggers.Settings {
	commands := map[cluster.Kind]map[string][]string{}
	for kind, named := range s.Commands {
		commands[kind] = map[string][]string{}
		for name, argv := range named {
			if len(argv) == 3 && argv[1] == "-c" {
				argv = []string{argv[0], "-c", "export DIR='" + l.dir + "'\n" + argv[2]}
			}
			commands[kind][name] = argv
		}
	}
	s.Commands = commands
	return s
}

// shell is a script for every kind of event, without a name.
func shell(script string) map[cluster.Kind]map[string][]string {
	return named(map[string]string{"": script})
}

// named are scripts for every kind of event, by their names.
func named(scripts map[string]string) map[cluster.Kind]map[string][]string {
	commands := map[cluster.Kind]map[string][]string{}
	for _, k := range cluster.Kinds() {
		commands[k] = map[string][]string{}
		for name, script := range scripts {
			commands[k][name] = []string{"/bin/sh", "-c", script}
		}
	}
	return commands
}

// unnamed are commands without a name.
func unnamed(list map[cluster.Kind][]string) map[cluster.Kind]map[string][]string {
	commands := map[cluster.Kind]map[string][]string{}
	for kind, argv := range list {
		commands[kind] = map[string][]string{"": argv}
	}
	return commands
}

// ended waits until n triggers have ended.
func (l *lab) ended(n uint64) {
	l.t.Helper()
	eventually(l.t, "triggers end", func() bool { return l.Stats().Run >= n })
}

// file waits for a file in the folder of the lab to hold a whole line, and
// returns what it holds.
func (l *lab) file(name string) string {
	l.t.Helper()
	var data []byte
	eventually(l.t, "file "+name, func() bool {
		data, _ = os.ReadFile(filepath.Join(l.dir, name))
		return bytes.HasSuffix(data, []byte("\n"))
	})
	return string(data)
}

// lines returns the lines that scripts have appended to a file so far.
func (l *lab) lines(name string) []string {
	data, _ := os.ReadFile(filepath.Join(l.dir, name))
	return strings.Fields(string(data))
}

// pid returns the process id that a script has put into a file.
func (l *lab) pid(name string) int {
	l.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(l.file(name)))
	if err != nil {
		l.t.Fatal(err)
	}
	return pid
}

// touch makes a file that scripts wait for.
func (l *lab) touch(name string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), nil, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// alive says that a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// logBook keeps what was logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// of returns the records with the given message.
func (b *logBook) of(t *testing.T, message string) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(b.text.Bytes()) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		if record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

// event returns an event about a node, or about the cluster if node is "".
func event(id int64, kind cluster.Kind, c int, node string) cluster.Event {
	e := cluster.Event{ID: id, Kind: kind, Cluster: c, Time: time.Date(2026, 3, 1, 12, 0, 0, 5e8, time.UTC)}
	if node != "" {
		e.Node = &cluster.Entry{Host: node, Port: 5432, ClusterID: c, IsSlave: true, MasterName: "m1:5432"}
	}
	return e
}
