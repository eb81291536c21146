package triggers_test

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

// one queues a single event for a lab.
func (l *lab) one(kind cluster.Kind) {
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(7, kind, 3, "s1")})
}

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	// The leader goes at SIGTERM; its child does not.
	const script = `sh -c 'trap "" TERM; echo $$ > $DIR/child; while :; do sleep 1; done' &
echo $$ > $DIR/leader
echo waiting
wait`
	l := newLab(t, script, triggers.Settings{Timeout: time.Second, Grace: 300 * time.Millisecond})
	began := time.Now()
	l.one(cluster.SlaveDown)
	leader, child := l.pid("leader"), l.pid("child")
	l.ended(1)
	if took := time.Since(began); took < 1300*time.Millisecond {
		t.Errorf("ended after %v, before the grace was over", took)
	}
	if alive(leader) || alive(child) {
		t.Errorf("alive: leader %v, child %v", alive(leader), alive(child))
	}
	if s := l.Stats(); s != (triggers.Stats{Run: 1, Failed: 1, TimedOut: 1}) {
		t.Errorf("stats %+v", s)
	}
	records := l.log.of(t, "trigger timed out")
	if len(records) != 1 {
		t.Fatalf("log:\n%s", &l.log.text)
	}
	r := records[0]
	if r["level"] != "ERROR" || r["event"] != "slave_down" || r["event_id"] != 7.0 || r["cluster"] != 3.0 ||
		r["node"] != "s1:5432" || r["signal"] != "SIGTERM" || r["output"] != "waiting" || r["duration"] == nil {
		t.Errorf("record %v", r)
	}
}

func TestTimeoutWaitsForMembersThatTidyUp(t *testing.T) {
	const script = `sh -c 'trap "sleep 0.3; echo tidy > \$DIR/tidy; exit" TERM; echo $$ > $DIR/child; while :; do sleep 0.01; done' &
wait`
	l := newLab(t, script, triggers.Settings{Timeout: time.Second, Grace: 10 * patience})
	l.one(cluster.SlaveDown)
	l.pid("child")
	l.ended(1) // and not only after the grace
	if got := l.lines("tidy"); len(got) != 1 {
		t.Error("the child was not left the time to tidy up")
	}
}

func TestWhatASuccessfulTriggerLeavesBehindGoesOn(t *testing.T) {
	const script = `sleep 1000 & echo $! > $DIR/daemon; echo started`
	l := newLab(t, script, triggers.Settings{Timeout: patience})
	l.one(cluster.SlaveUp)
	l.ended(1)
	daemon := l.pid("daemon")
	if !alive(daemon) {
		t.Error("the process in the background was ended")
	}
	l.Close(0)
	if err := syscall.Kill(daemon, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	done := l.log.of(t, "trigger done")
	if len(done) != 1 || done[0]["output"] != "started" || done[0]["level"] != "DEBUG" {
		t.Errorf("log:\n%s", &l.log.text)
	}
}

func TestEndings(t *testing.T) {
	for _, c := range []struct {
		name, script string
		message      string
		attrs        map[string]any
	}{
		{"success", "exit 0", "trigger done", map[string]any{"exit_code": 0.0, "output": ""}},
		{"exit status", "echo out; echo err >&2; exit 3", "trigger failed", map[string]any{"exit_code": 3.0, "output": "out\nerr"}},
		{"signal", "kill -9 $$", "trigger failed", map[string]any{"signal": "SIGKILL"}},
		{"binary output", `printf '\377\000x'; exit 1`, "trigger failed", map[string]any{"output": "\uFFFD\x00x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, c.script, triggers.Settings{})
			l.one(cluster.MasterDown)
			l.ended(1)
			records := l.log.of(t, c.message)
			if len(records) != 1 {
				t.Fatalf("log:\n%s", &l.log.text)
			}
			for name, want := range c.attrs {
				if records[0][name] != want {
					t.Errorf("%s is %q, want %q", name, records[0][name], want)
				}
			}
		})
	}
}

func TestACommandThatCannotBeStartedFails(t *testing.T) {
	l := newLab(t, "", triggers.Settings{Commands: unnamed(map[cluster.Kind][]string{
		cluster.MasterDown: {"/nowhere/to/be/found"},
		cluster.MasterUp:   {"/bin/sh", "-c", "echo here > $DIR/here"},
	})})
	l.one(cluster.MasterDown)
	l.one(cluster.MasterUp)
	l.file("here")
	l.ended(2)
	records := l.log.of(t, "trigger not started")
	if len(records) != 1 || records[0]["level"] != "ERROR" || !strings.Contains(records[0]["error"].(string), "/nowhere") {
		t.Errorf("log:\n%s", &l.log.text)
	}
	if s := l.Stats(); s != (triggers.Stats{Run: 2, Failed: 1}) {
		t.Errorf("stats %+v", s)
	}
}

// A program in a place that hangs, here a file that is leased, is a failure at
// its timeout and holds up nothing; nor does it run when it can be read again.
func TestAProgramThatCannotBeReadHoldsUpNothing(t *testing.T) {
	l := newLab(t, "", triggers.Settings{Timeout: 3 * time.Second})
	program := filepath.Join(l.dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho $PLUSMOIN_EVENT_ID >> "+l.dir+"/ran\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	l.settings.Commands = unnamed(map[cluster.Kind][]string{
		cluster.MasterDown: {program},
		cluster.MasterUp:   {"/bin/sh", "-c", "echo $PLUSMOIN_EVENT_ID >> $DIR/others"},
	})
	l.Reconfigure(l.settings)
	file, err := os.OpenFile(program, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() // again
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("NOT CHECKED: files cannot be leased here: %v", err)
	}
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.MasterDown, 0, ""), event(2, cluster.MasterUp, 0, ""), event(3, cluster.MasterUp, 1, ""),
	})
	eventually(t, "the other cluster", func() bool { return len(l.lines("others")) == 1 && l.Stats().Running == 1 })
	if s := l.Stats(); s.Queued != 1 {
		t.Errorf("stats %+v", s)
	}
	l.ended(3)
	records := l.log.of(t, "trigger timed out")
	if len(records) != 1 || !strings.Contains(records[0]["error"].(string), "its file cannot be read") {
		t.Errorf("log:\n%s", &l.log.text)
	}
	if got := l.lines("others"); len(got) != 2 || got[1] != "2" {
		t.Errorf("then ran %v", got)
	}
	if err := file.Close(); err != nil { // which ends the lease
		t.Fatal(err)
	}
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(4, cluster.MasterDown, 0, "")})
	l.ended(4)
	if got := l.lines("ran"); len(got) != 1 || got[0] != "4" {
		t.Errorf("of the program ran %v", got)
	}
}

func TestHugeOutputIsReadToItsEnd(t *testing.T) {
	l := newLab(t, `head -c 300000000 /dev/zero; echo; echo the end; exit 1`, triggers.Settings{})
	l.one(cluster.MasterDown)
	l.ended(1)
	records := l.log.of(t, "trigger failed")
	if len(records) != 1 || records[0]["exit_code"] != 1.0 {
		t.Fatal("it was not left to end by itself")
	}
	output := records[0]["output"].(string)
	if !strings.HasPrefix(output, "...") || !strings.HasSuffix(output, "\nthe end") || len(output) > 9<<10 {
		t.Errorf("%d bytes of output are logged, ending in %q", len(output), output[len(output)-10:])
	}
}

func TestEnvironment(t *testing.T) {
	l := newLab(t, "env > $DIR/env; echo >> $DIR/env", triggers.Settings{
		StatusFile: "/run/plusmoin/status.json",
		Environ: []string{
			"PGPASSWORD=carrotcake", "PGSSLPASSWORD=carrotcake", "PLUSMOIN_PASSWORD=carrotcake", "SECRET=carrotcake",
			"PGHOST=carrotcake", "PGPASSFILE=carrotcake", "NOTIFY_SOCKET=carrotcake", "CREDENTIALS_DIRECTORY=carrotcake",
			"PLUSMOIN_EVENT=inherited", "HOME=/inherited", "USER=inherited", "LOGNAME=inherited", "SHELL=/inherited",
			"LANG=C.UTF-8", "LC_TIME=POSIX", "TZ=Asia/Tokyo", "TMPDIR=/var/tmp",
		},
	})
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(1<<60, cluster.SlaveDown, 12, "::1")})
	env := "\n" + l.file("env")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"PLUSMOIN_EVENT=slave_down", "PLUSMOIN_EVENT_ID=1152921504606846976", "PLUSMOIN_CLUSTER_ID=12",
		"PLUSMOIN_NODE=[::1]:5432", "PLUSMOIN_SPLIT_FROM=", "PLUSMOIN_STATUS_FILE=/run/plusmoin/status.json",
		"LANG=C.UTF-8", "LC_TIME=POSIX", "TZ=Asia/Tokyo", "TMPDIR=/var/tmp", "PATH=" + os.Getenv("PATH"),
		"HOME=" + me.HomeDir, "USER=" + me.Username, "LOGNAME=" + me.Username, "SHELL=/bin/sh",
	} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("no %s in the environment:%s", want, env)
		}
	}
	if strings.Contains(env, "carrotcake") || strings.Contains(env, "inherited") {
		t.Errorf("the environment has what it must not have:%s", env)
	}
}

func TestAnEventAboutNoNodeHasAnEmptyNode(t *testing.T) {
	l := newLab(t, `echo "[$PLUSMOIN_NODE]" > $DIR/node`, triggers.Settings{})
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(1, cluster.PlusmoinUp, 0, "")})
	if got := l.file("node"); got != "[]\n" {
		t.Errorf("PLUSMOIN_NODE is %s", got)
	}
}

func TestNoDescriptorIsLeaked(t *testing.T) {
	l := newLab(t, `exit 1`, triggers.Settings{})
	run := func(n int, kind cluster.Kind) {
		before := l.Stats().Run
		for range n {
			l.one(kind)
		}
		l.ended(before + uint64(n))
	}
	l.settings.Commands = shell("exit 1")
	l.settings.Commands[cluster.MasterDown][""] = []string{"/nowhere/to/be/found"}
	l.Reconfigure(l.settings)
	run(2, cluster.MasterUp)
	before := descriptors(t)
	run(20, cluster.MasterUp)
	run(20, cluster.MasterDown)
	eventually(t, "as many descriptors as before", func() bool { return descriptors(t) <= before })
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
