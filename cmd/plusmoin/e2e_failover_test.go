//go:build linux

package main_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// The functional scenario of the original plusmoin, to its end.
func TestFailoverFromTheFirstHeartbeatToTheMerge(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "s2")
	m, s1, s2 := servers[0], servers[1], servers[2]
	w := newWatch(t, nil, nodesOf(m, s1, s2)...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.Shows("0: m > s1 s2")

	must(t, s1.Stop(ctx))
	w.Expect("slave_down 0 s1")
	w.Shows("0: m > s2 (s1)")
	must(t, s1.Start(ctx))
	w.Expect("slave_up 0 s1")

	must(t, m.Freeze())
	w.Expect("master_down 0 m")
	must(t, m.Thaw())
	w.Expect("master_up 0 m")
	w.Shows("0: m > s1 s2")

	must(t, m.Kill(ctx))
	w.Expect("master_down 0 m")
	w.UntilDiagnosis(0, cluster.DeadMaster)
	must(t, s1.Promote(ctx))
	must(t, s2.Follow(ctx, s1))
	w.Expect("master_up 0 s1")
	if old := w.Last().OldMaster; old == nil || story.AddressOf(*old) != w.Address("m") {
		t.Errorf("old_master of master_up is %v, want m", old)
	}
	w.Until("s2 naming its new master", func(d status.Document) bool {
		return len(d.Clusters) > 0 && slices.ContainsFunc(d.Clusters[0].Slaves, func(e cluster.Entry) bool {
			return story.AddressOf(e) == w.Address("s2") && e.MasterName == w.Address("s1")
		})
	})
	w.Shows("0: s1 > s2 (m)")

	must(t, m.Start(ctx))
	w.Expect("node_left 0 m", "cluster_split 1 m")
	w.Shows("0: s1 > s2; 1: m >")
	w.UntilDiagnosis(1, cluster.SplitOff)

	must(t, m.Stop(ctx))
	w.Expect("master_down 1 m")
	must(t, m.Rebuild(ctx, s1))
	w.Expect("node_left 1 m", "node_joined 0 m", "cluster_gone 1", "slave_up 0 m")
	w.Shows("0: s1 > m s2")
	w.UntilDiagnosis(0, cluster.OK)
	w.stop()
}

func TestSlaveThatIsNotRepointedGoesDownByLagAndComesBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "s2")
	m, s1, s2 := servers[0], servers[1], servers[2]
	w := newWatch(t, nil, nodesOf(m, s1, s2)...)
	w.start()
	w.Expect("plusmoin_up 0")

	must(t, m.Kill(ctx))
	w.Expect("master_down 0 m")
	must(t, s1.Promote(ctx))
	w.Expect("master_up 0 s1", "slave_down 0 s2")
	w.UntilReason("s2", cluster.ReasonLag)
	must(t, s2.Follow(ctx, s1))
	w.Expect("slave_up 0 s2")
	w.stop()
}

func TestRestartRenumbersAndForgetsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := pglab.New(t)
	a, b := cast(t, lab, "am", "a1", "a2"), cast(t, lab, "bm", "b1")
	nodes := nodesOf(a[0], a[1], a[2], b[0], b[1])
	w := newWatch(t, nil, nodes...)
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	w.Shows("0: am > a1 a2; 1: bm > b1")
	w.stop()

	slices.Reverse(nodes)
	w.configure(nil, nodes...)
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	w.Shows("0: am > a2 a1; 1: bm > b1")
	must(t, a[0].Kill(ctx))
	w.Expect("master_down 0 am")
	w.stop()

	// With a master down the slaves keep its cluster's id and its place.
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	w.Shows("0: > a2 a1 (am); 1: bm > b1")
	w.Quiet(4)
	w.stop()

	// A failover that took place while nobody watched.
	must(t, a[1].Promote(ctx))
	must(t, a[2].Follow(ctx, a[1]))
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	w.Until("a1 with its slave", func(d status.Document) bool { return w.Picture(d) == "0: a1 > a2; 1: bm > b1; -: am" })
	must(t, a[0].Start(ctx))
	w.Expect("cluster_up 2 am")
	w.Shows("0: a1 > a2; 1: bm > b1; 2: am >")
	w.stop()
}

// A connection that drops wakes plusmoin: it does not wait for a heartbeat.
func TestCrashIsToldAtOnceWhateverTheHeartbeat(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "s2")
	w := newWatch(t, conf{"heartbeat": 60, "fail_interval": 0, "max_sync_delay": 60}, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	for _, step := range []struct {
		event string
		crash *pglab.Server
	}{{"slave_down 0 s2", servers[2]}, {"master_down 0 m", servers[0]}} {
		began := time.Now()
		must(t, step.crash.Kill(ctx))
		w.Expect(step.event)
		if took := w.Last().Time.Sub(began); took > 5*time.Second {
			t.Errorf("%s came after %v, want it at once", step.event, took)
		}
	}
	w.stop()
}

// Servers that are away for less than fail_interval are nothing to tell of,
// however often, nor are sessions that an administrator ends.
func TestRestartedServersAndEndedSessionsTellNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, conf{"fail_interval": 4}, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	for range 2 {
		for _, s := range servers {
			must(t, s.Restart(ctx))
			query(t, s, endWatching)
		}
		w.Quiet(3)
	}
	w.Quiet(8)
	w.stop()
}

// endWatching ends all sessions of plusmoin.
const endWatching = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plusmoin'`

// A monitor that was stopped, as on a suspended machine, has nothing to tell.
func TestSuspendedMonitorTellsNothing(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, conf{"heartbeat": 1, "max_sync_delay": 3, "recover_sync_delay": 1}, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.suspend(10 * time.Second)
	w.Quiet(3)
	w.stop()
}

// Nor has one that was stopped while it waited for answers, though their time
// was over when it went on. Looks are slow here, so that this can be had.
func TestMonitorSuspendedWhileItLooksTellsNothing(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, conf{
		"heartbeat": 2, "fail_interval": 0, "max_sync_delay": 6,
		"is_slave_statement": "SELECT pg_is_in_recovery() FROM pg_sleep(1)",
	}, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	round := w.Status().Round.Number
	w.Until("a round", func(d status.Document) bool { return d.Round.Number > round })
	<-time.After(1500 * time.Millisecond) // half-way through the look of the next
	w.suspend(4 * time.Second)
	w.Quiet(2)
	if !strings.Contains(w.log(), "held up") {
		t.Error("no look was held up; the story has proved nothing")
	}
	w.stop()
}

// suspend stops the process for a while and lets it go on.
func (w *watch) suspend(length time.Duration) {
	w.t.Helper()
	w.signal(syscall.SIGSTOP)
	<-time.After(length)
	w.signal(syscall.SIGCONT)
}
