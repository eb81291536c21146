//go:build linux

package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// Who reads the log may go: plusmoin -x start | head -1.
func TestAClosedLogReaderEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWatch(t, conf{"heartbeat": 0.1})
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-c", w.configFile(), "-x", "start")
	cmd.Env = append(os.Environ(), "PLUSMOIN_TEST_MAIN=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = cmd.Stdout
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.Contains(line, "level=") {
		t.Fatalf("first line %q, %v", line, err)
	}
	must(t, out.Close())
	round := func() uint64 {
		d, err := status.Read(w.statusFile())
		if err != nil {
			return 0
		}
		return d.Round.Number
	}
	before := round()
	if !w.Poll(func() bool { return round() > before+5 }) {
		t.Fatalf("no rounds after number %d; has plusmoin ended?", before)
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
	if d, err := status.Read(w.statusFile()); err != nil || d.State != status.Stopped {
		t.Errorf("at the end: %s, %v", d.State, err)
	}
}

// As process 1 of a container plusmoin reaps what its triggers leave behind,
// and what comes from elsewhere. A trigger that fails is shown, here by a
// SIGPIPE, which plusmoin does not heed but its triggers do.
func TestAsProcess1(t *testing.T) {
	t.Parallel()
	m := cast(t, pglab.New(t), "m")[0]
	w := newWatch(t, nil, nodesOf(m)...)
	w.wrap = []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}
	if os.Geteuid() != 0 {
		w.wrap = append(w.wrap, "--user", "--map-root-user")
	}
	triggers := story.Recorder(w.EventsFile)
	triggers["plusmoin_up"] = map[string]any{
		"record": triggers["plusmoin_up"],
		"orphan": fmt.Sprintf("(setsid sh -c 'sleep 0.2; cut -d \" \" -f 4 /proc/$$/stat >>%s; sleep 0.2' &)", filepath.Join(w.dir, "orphans")),
		"pipe":   "kill -PIPE $$",
	}
	w.configure(conf{"triggers": triggers}, nodesOf(m)...)
	w.start()
	w.Expect("plusmoin_up 0")
	inner := childOf(w, w.process.Pid)

	if !w.Poll(func() bool { return len(numbersIn(filepath.Join(w.dir, "orphans"))) == 1 }) {
		t.Fatal("the orphan told nothing")
	}
	if parent := numbersIn(filepath.Join(w.dir, "orphans")); parent[0] != 1 {
		t.Errorf("the orphan is a child of %d", parent[0])
	}
	elsewhere := exec.Command("nsenter", "-t", strconv.Itoa(inner), "-p", "-m", "sh", "-c", "(sleep 0.2 &)")
	if os.Geteuid() == 0 {
		must(t, elsewhere.Run())
	}
	if !w.Poll(func() bool { return len(childrenOf(inner)) == 0 }) {
		t.Errorf("children: %v", childrenOf(inner))
	}

	w.Until("a warning", func(d status.Document) bool {
		return len(d.Warnings) == 1 && d.Warnings[0].Kind == cluster.TriggerFailed &&
			strings.HasPrefix(d.Warnings[0].Text, `trigger plusmoin_up "pipe" of cluster 0 failed at `) &&
			strings.Contains(d.Warnings[0].Text, "ended by SIGPIPE")
	})
	self, err := os.Executable()
	must(t, err)
	show := exec.Command(self, "-c", w.configFile(), "status", "--table")
	show.Env = append(os.Environ(), "PLUSMOIN_TEST_MAIN=1")
	out, _ := show.CombinedOutput()
	if show.ProcessState.ExitCode() != degraded || !strings.Contains(string(out), "SIGPIPE") {
		t.Errorf("status: %v\n%s", show.ProcessState, out)
	}
	must(t, syscall.Kill(inner, syscall.SIGTERM))
	if err := <-w.ended; err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
	w.process = nil
}

// degraded is the exit code for what works and is not well.
const degraded = 1

// childOf waits for the one child of a process.
func childOf(w *watch, pid int) int {
	w.t.Helper()
	if !w.Poll(func() bool { return len(childrenOf(pid)) == 1 }) {
		w.t.Fatalf("children of %d: %v", pid, childrenOf(pid))
	}
	return childrenOf(pid)[0]
}

// childrenOf returns the children of a process, dead or alive.
func childrenOf(pid int) []int {
	var all []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		all = append(all, numbersIn(f)...)
	}
	return all
}
