package triggers_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

// gated notes its start, waits for a file named after its event, and notes its
// end.
const gated = `echo +$PLUSMOIN_EVENT_ID >> $DIR/notes
until [ -e $DIR/go$PLUSMOIN_EVENT_ID ] || [ -e $DIR/all ]; do sleep 0.01; done
echo -- -$PLUSMOIN_EVENT_ID | cut -c 4- >> $DIR/notes`

// notes waits until the scripts have noted this, in any order.
func (l *lab) notes(want string) {
	l.t.Helper()
	wanted := strings.Fields(want)
	slices.Sort(wanted)
	eventually(l.t, "notes "+want, func() bool {
		got := l.lines("notes")
		slices.Sort(got)
		return slices.Equal(got, wanted)
	})
}

func TestTriggersOfAClusterOrANodeRunInOrder(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{})
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.NodeLeft, 0, "s1"),
		event(2, cluster.NodeJoined, 1, "s1"), // waits for 1: the same node
		event(3, cluster.SlaveUp, 1, "s2"),    // waits for 2: the same cluster
		event(4, cluster.SlaveDown, 0, "s3"),  // waits for 1: the same cluster
		event(5, cluster.ClusterGone, 2, ""),  // waits for nothing
	})
	l.notes("+1 +5")
	l.touch("go1")
	l.notes("+1 -1 +5 +2 +4")
	l.touch("go3") // it has not started yet
	l.touch("go4")
	l.notes("+1 -1 +5 +2 +4 -4")
	l.touch("go2")
	l.notes("+1 -1 +5 +2 +4 -4 -2 +3 -3")
	l.touch("go5")
	l.ended(5)
	if s := l.Stats(); s != (triggers.Stats{Run: 5}) {
		t.Errorf("stats %+v", s)
	}
}

func TestNoMoreThanParallelRunAndTheOldestIsNext(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{Parallel: 2})
	for id := range int64(5) {
		l.Heard(cluster.Snapshot{}, []cluster.Event{event(id, cluster.MasterDown, int(id), "")})
	}
	l.notes("+0 +1")
	if s := l.Stats(); s.Running != 2 || s.Queued != 3 {
		t.Errorf("stats %+v", s)
	}
	l.touch("go1")
	l.notes("+0 +1 -1 +2")
	l.touch("go2")
	l.notes("+0 +1 -1 +2 -2 +3")
	l.settings.Parallel = 3
	l.Reconfigure(l.settings)
	l.notes("+0 +1 -1 +2 -2 +3 +4")
	l.touch("all")
	l.ended(5)
}

func TestAWaitingHeartbeatIsReplaced(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{})
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(1, cluster.MasterDown, 0, "m1")})
	for id := range int64(1000) {
		l.Heard(cluster.Snapshot{}, []cluster.Event{event(100+id, cluster.PlusmoinHeartbeat, 0, "")})
	}
	l.notes("+1")
	if s := l.Stats(); s.Queued != 1 || s.HeartbeatsReplaced != 999 {
		t.Errorf("stats %+v", s)
	}
	// The next heartbeat comes after what happened before it.
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(2, cluster.MasterUp, 0, "s1"), event(2000, cluster.PlusmoinHeartbeat, 0, "")})
	l.touch("go1")
	l.notes("+1 -1 +2")
	// One that runs is not replaced.
	l.touch("go2")
	l.notes("+1 -1 +2 -2 +2000")
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(2001, cluster.PlusmoinHeartbeat, 0, "")})
	l.touch("all")
	l.ended(4)
	l.notes("+1 -1 +2 -2 +2000 -2000 +2001 -2001")
	if s := l.Stats(); s != (triggers.Stats{Run: 4, HeartbeatsReplaced: 1000}) {
		t.Errorf("stats %+v", s)
	}
}

func TestReconfigureHoldsForWhatStartsLater(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{})
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.MasterDown, 0, ""),
		event(2, cluster.MasterUp, 0, ""),
		event(3, cluster.SlaveUp, 0, "s1"),
	})
	l.notes("+1")
	next := l.settings
	next.Commands = unnamed(map[cluster.Kind][]string{
		cluster.MasterUp: {"/bin/sh", "-c", "echo new$PLUSMOIN_EVENT_ID >> $DIR/notes"},
	})
	l.Reconfigure(next)
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(4, cluster.SlaveUp, 0, "s1"), event(5, cluster.MasterUp, 0, "")})
	l.touch("all")
	l.ended(3)
	l.notes("+1 -1 new2 new5")
}

func TestCloseLetsEverythingFinishWithinItsBound(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{})
	for id := range int64(6) {
		l.Heard(cluster.Snapshot{}, []cluster.Event{event(id, cluster.MasterDown, int(id)%2, "")})
	}
	l.touch("all")
	l.Close(patience)
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(7, cluster.MasterUp, 0, "")})
	if s := l.Stats(); s != (triggers.Stats{Run: 6}) {
		t.Errorf("stats %+v", s)
	}
}

func TestCloseEndsWhatIsLeftAfterItsBound(t *testing.T) {
	const stubborn = `sh -c 'trap "" TERM; echo $$ > $DIR/child$PLUSMOIN_CLUSTER_ID; while :; do sleep 1; done' & wait`
	l := newLab(t, stubborn, triggers.Settings{Parallel: 2, Grace: 50 * time.Millisecond})
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.MasterDown, 0, ""), event(2, cluster.MasterUp, 0, "s1"),
		event(3, cluster.MasterDown, 1, ""), event(4, cluster.PlusmoinHeartbeat, 1, ""),
	})
	children := []int{l.pid("child0"), l.pid("child1")}
	l.Close(10 * time.Millisecond)
	for _, pid := range children {
		eventually(t, "child gone", func() bool { return !alive(pid) })
	}
	if s := l.Stats(); s != (triggers.Stats{Run: 2, Failed: 2, Dropped: 2}) {
		t.Errorf("stats %+v", s)
	}
	dropped := l.log.of(t, "trigger not run, plusmoin stops")
	if len(dropped) != 2 || len(l.log.of(t, "trigger ended early, plusmoin stops")) != 2 {
		t.Errorf("log:\n%s", &l.log.text)
	}
	for _, record := range dropped {
		beat := record["event"] == "plusmoin_heartbeat"
		if beat == (record["level"] == "ERROR") {
			t.Errorf("dropped at level %v: %v", record["level"], record)
		}
	}
}
