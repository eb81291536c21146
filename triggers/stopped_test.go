package triggers_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

// stoppedVar makes the test binary run a trigger that stops it.
const stoppedVar = "PLUSMOIN_TEST_STOPPED"

// A trigger is given its time though this process was stopped for longer than
// that, and a group its grace.
func TestTimeoutDoesNotCountWhileStopped(t *testing.T) {
	if os.Getenv(stoppedVar) != "" {
		runStopped(t)
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTimeoutDoesNotCountWhileStopped$", "-test.v")
	cmd.Env = append(os.Environ(), stoppedVar+"=yes")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func runStopped(t *testing.T) {
	const stop = `kill -STOP $PPID; sleep 3; kill -CONT $PPID; sleep 0.5; `
	l := newLab(t, stop+`echo done > $DIR/done`, triggers.Settings{Timeout: 2 * time.Second})
	l.one(cluster.MasterDown)
	l.ended(1)
	if s := l.Stats(); s != (triggers.Stats{Run: 1}) || len(l.lines("done")) != 1 {
		t.Errorf("stats %+v, log:\n%s", s, &l.log.text)
	}

	l = newLab(t, `trap '`+stop+`echo tidy > $DIR/tidy; exit' TERM; while :; do sleep 0.01; done`,
		triggers.Settings{Timeout: 100 * time.Millisecond, Grace: 2 * time.Second})
	l.one(cluster.MasterDown)
	l.ended(1)
	if len(l.lines("tidy")) != 1 {
		t.Errorf("the group was not left its grace, log:\n%s", &l.log.text)
	}
}
