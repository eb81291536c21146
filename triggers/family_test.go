package triggers_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

// hang notes its process id in a file named after its command and its event,
// and goes nowhere.
const hang = `sh -c "echo \$\$ > $DIR/$WAY.new$PLUSMOIN_EVENT_ID; mv $DIR/$WAY.new$PLUSMOIN_EVENT_ID $DIR/$WAY$PLUSMOIN_EVENT_ID; exec sleep 1000"`

// ways are what a script may do with a command that hangs.
var ways = map[string]string{
	"child":            hang,
	"session":          "setsid " + hang,
	"waited-session":   "setsid -w " + hang,
	"timeout":          "timeout 1000 " + hang,
	"nohup":            "nohup " + hang + " & wait",
	"orphan":           "(" + hang + " &); sleep 1000",
	"orphan-session":   "(setsid " + hang + " &); sleep 1000",
	"daemon":           "(setsid sh -c '(" + hang + " &)' <&- >&- 2>&- &); sleep 1000",
	"without-a-word":   "(env -i setsid " + hang + " &); sleep 1000",
	"deaf-daemon":      "(trap '' TERM; setsid " + hang + " &); sleep 1000",
	"unmarked":         "prlimit --rttime=unlimited setsid -w " + hang,
	"deaf-unmarked":    `prlimit --rttime=unlimited sh -c '(trap "" TERM; exec setsid $DIR/hang) & wait'`,
	"daemon-of-daemon": "(setsid sh -c '(setsid sh -c \"sleep 0.1; (setsid $DIR/hang &)\" &)' &); sleep 1000",
}

// Whatever a command does with what it starts, it is ended with it, and what
// another command did in the same way goes on: one that has ended, and one that
// runs beside it. All ways are tried at once, each in a lane of its own.
func TestTimeoutEndsAllDescendantsAndNoOthers(t *testing.T) {
	scripts := map[string]string{}
	for name, way := range ways {
		scripts[name] = "export WAY=" + name + `
[ $PLUSMOIN_EVENT_ID = 1 ] && { (` + way + `) & until [ -e $DIR/${WAY}1 ]; do sleep 0.05; done; exit; }
` + way
	}
	l := newLab(t, "", triggers.Settings{Timeout: 10 * patience, Grace: 200 * time.Millisecond, Commands: named(scripts)})
	if err := os.WriteFile(filepath.Join(l.dir, "hang"), []byte("#!/bin/sh\n"+hang+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	n := uint64(len(ways))
	run := func(id int64) map[string]int {
		l.Heard(cluster.Snapshot{}, []cluster.Event{event(id, cluster.SlaveUp, int(id), "")})
		pids := map[string]int{}
		for name := range ways {
			pids[name] = l.pid(name + strconv.FormatInt(id, 10))
		}
		return pids
	}
	left := run(1)
	t.Cleanup(func() {
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		l.endAll()
	})
	l.ended(n)
	beside := run(2)
	l.settings.Timeout = 5 * time.Second
	l.Reconfigure(l.settings)
	doomed := run(3)
	l.ended(2 * n)
	for name := range ways {
		if alive(doomed[name]) || !alive(left[name]) || !alive(beside[name]) {
			t.Errorf("%s: alive: at its timeout %v, of one before %v, of one beside %v",
				name, alive(doomed[name]), alive(left[name]), alive(beside[name]))
		}
	}
	if s := l.Stats(); s != (triggers.Stats{Run: 2 * n, Failed: n, TimedOut: n, Running: int(n)}) {
		t.Errorf("stats %+v, log:\n%s", s, &l.log.text)
	}
	l.Close(0)
	for name := range ways {
		if alive(beside[name]) || !alive(left[name]) {
			t.Errorf("%s: alive after Close: what ran %v, what a successful command left behind %v",
				name, alive(beside[name]), alive(left[name]))
		}
	}
}

// endAll ends what knows the folder of the lab.
func (l *lab) endAll() {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		environ, err := os.ReadFile(f)
		if pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && strings.Contains(string(environ), "DIR="+l.dir+"\x00") {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// A script that tidies up starts commands for that; they are not asked to end.
func TestWhatTidiesUpIsLeftAlone(t *testing.T) {
	const script = `trap 'setsid -w sleep 0.3 && (sleep 0.3 && echo tidy > $DIR/tidy); exit' TERM
echo ready > $DIR/ready
while :; do sleep 0.01; done`
	l := newLab(t, script, triggers.Settings{Timeout: 2 * time.Second, Grace: 10 * patience})
	l.one(cluster.SlaveDown)
	l.ended(1)
	if got := l.lines("tidy"); len(got) != 1 {
		t.Errorf("what tidies up was ended, log:\n%s", &l.log.text)
	}
}

// A child that is forked again and again cannot be caught by looking once.
func TestTimeoutEndsWhatForksOnAndOn(t *testing.T) {
	const script = `cat > $DIR/hop <<'END'
#!/bin/sh
trap '' TERM
echo $$ >> $DIR/hops
(setsid $DIR/hop &)
END
chmod +x $DIR/hop; $DIR/hop; sleep 1000`
	l := newLab(t, script, triggers.Settings{Timeout: time.Second, Grace: 200 * time.Millisecond})
	l.one(cluster.SlaveDown)
	l.ended(1)
	hops := len(l.lines("hops"))
	if hops < 3 {
		t.Fatalf("it forked %d times", hops)
	}
	<-time.After(100 * time.Millisecond) // a hop takes a few
	if more := len(l.lines("hops")) - hops; more > 0 {
		t.Errorf("it forked %d times more", more)
	}
}

// alienVar makes the test binary run triggers as a user who may not signal what
// the program it names starts.
const alienVar = "PLUSMOIN_TEST_ALIEN"

// A command that has become another user's, as by sudo, may not be signalled.
func TestWhatMayNotBeSignalledHoldsUpNothing(t *testing.T) {
	if os.Getenv(alienVar) != "" {
		runAlien(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: only root can make a program that is not to be signalled by others")
	}
	dir := t.TempDir()
	for ; dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Fatal(err)
	}
	self, alien := filepath.Join(dir, "self"), filepath.Join(dir, "alien")
	for to, from := range map[string]string{self: "/proc/self/exe", alien: setpriv} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(alien, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestWhatMayNotBeSignalledHoldsUpNothing$", "-test.v")
	cmd.Env = append(os.Environ(), alienVar+"="+alien, "TMPDIR=/tmp")
	cmd.Dir = "/"
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func runAlien(t *testing.T) {
	become := os.Getenv(alienVar) + " --reuid=0 --regid=0 --clear-groups "
	const stay = `sh -c "echo \$\$ > $DIR/alien$PLUSMOIN_EVENT_ID; until [ -e $DIR/end ]; do sleep 0.02; done"`
	for name, script := range map[string]string{
		"command": "exec " + become + stay,
		"child":   become + stay + "; echo never",
		"daemon":  "(setsid " + become + stay + " &); sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "", triggers.Settings{
				Timeout: 2 * time.Second, Grace: 10 * patience,
				Commands: unnamed(map[cluster.Kind][]string{
					cluster.MasterDown: {"/bin/sh", "-c", script},
					cluster.MasterUp:   {"/bin/sh", "-c", "echo $(id -u) > $DIR/next"},
				}),
			})
			t.Cleanup(func() {
				l.touch("end") // it goes by itself then, and what waits for it too
				eventually(t, "aliens gone", func() bool { return !alive(l.pid("alien1")) && !alive(l.pid("alien3")) })
			})
			l.Heard(cluster.Snapshot{}, []cluster.Event{event(1, cluster.MasterDown, 0, ""), event(2, cluster.MasterUp, 0, "")})
			alien := l.pid("alien1")
			if err := syscall.Kill(alien, syscall.SIGTERM); err != syscall.EPERM {
				t.Fatalf("signalling it: %v", err)
			}
			if got := l.file("next"); got != "65534\n" {
				t.Errorf("the next one ran as %s", got)
			}
			if !alive(alien) {
				t.Fatal("it has gone, and nothing was shown")
			}
			l.ended(2)
			records := l.log.of(t, "process of a trigger not ended")
			if len(records) == 0 {
				t.Fatalf("log:\n%s", &l.log.text)
			}
			r := records[0]
			if r["level"] != "ERROR" || r["pid"] != float64(alien) || r["event"] != "master_down" || r["process"] != "sh" ||
				!strings.Contains(r["error"].(string), "not permitted") {
				t.Errorf("record %v", r)
			}
			if len(l.log.of(t, "trigger timed out")) != 1 {
				t.Errorf("log:\n%s", &l.log.text)
			}
			warned := fmt.Sprintf("timed out after 2s, process %d (sh) may not be signalled", alien)
			if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, warned) {
				t.Errorf("warnings %+v", w)
			}

			l.Heard(cluster.Snapshot{}, []cluster.Event{event(3, cluster.MasterDown, 0, "")})
			l.pid("alien3")
			began := time.Now()
			l.Close(0)
			if took := time.Since(began); took > patience {
				t.Errorf("Close took %v", took)
			}
			if !alive(l.pid("alien3")) {
				t.Error("it has gone, and nothing was shown")
			}
		})
	}
}

// What this process adopts and nobody waits for is reaped, and never the status
// of a process that somebody waits for is taken.
func TestOrphansAreReapedAndNothingElse(t *testing.T) {
	const script = `for i in 1 2 3; do (setsid sh -c 'echo $$ >> $DIR/orphans; sleep 0.2; cut -d " " -f 4 /proc/$$/stat >> $DIR/parents' &); done; exit 3`
	l := newLab(t, script, triggers.Settings{})
	for i := range int64(10) {
		l.Heard(cluster.Snapshot{}, []cluster.Event{event(i, cluster.SlaveDown, int(i), "")})
		cmd := exec.Command("/bin/sh", "-c", "exit 7")
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
			t.Fatalf("a command of ours: %v", err)
		}
	}
	l.ended(10)
	if failed := l.log.of(t, "trigger failed"); len(failed) != 10 || failed[0]["exit_code"] != 3.0 {
		t.Errorf("log:\n%s", &l.log.text)
	}
	eventually(t, "orphans", func() bool { return len(l.lines("orphans")) == 30 })
	for _, pid := range l.lines("orphans") {
		eventually(t, "orphan "+pid+" is reaped", func() bool {
			_, err := os.Stat("/proc/" + pid)
			return err != nil
		})
	}
	for _, pid := range l.lines("parents") {
		if pid != strconv.Itoa(os.Getpid()) {
			t.Errorf("an orphan is a child of process %s", pid)
		}
	}
}

// Process 1 is given zombies that carry no mark; they are left to who may wait
// for them for a second.
func TestAZombieNobodyWaitsForIsReaped(t *testing.T) {
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	newLab(t, "", triggers.Settings{})
	began := time.Now()
	eventually(t, "zombie is reaped", func() bool {
		_, err := os.Stat("/proc/" + strconv.Itoa(cmd.Process.Pid))
		return err != nil
	})
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("reaped after %v", took)
	}
	_ = cmd.Wait() // its status is lost, as it must be here
}
