//go:build functional

package functional

import (
	"testing"

	"plusmoin/cluster"
	"plusmoin/status"
)

// apart is for stories in which plusmoin's own cable is pulled. All nodes are to
// fail in one round, so rounds are far apart. And a connect that began while it
// was out gives up before a slave has answered for long enough to be up again,
// so the return of the master is told first.
var apart = conf{"heartbeat": 2, "connect_timeout": 3, "fail_interval": 6, "max_sync_delay": 20, "recover_sync_delay": 5}

// All are well but plusmoin, which must take them for down, and says that the
// fault is probably its own.
func TestMonitorCutFromEverything(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		s1, s2 := nodes[1], nodes[2]
		w := l.watch(apart, nodes...)
		w.Expect("plusmoin_up 0")

		w.cutBetweenRounds()
		w.UntilDiagnosis(0, cluster.MonitorIsolated)
		w.Shows("0: m > s1 s2")
		w.Expect("master_down 0 m", "slave_down 0 s1", "slave_down 0 s2")
		if got := w.Last().Diagnosis; got != cluster.MonitorIsolated {
			l.Errorf("the triggers were told %q, want %q", got, cluster.MonitorIsolated)
		}
		w.Quiet(6)
		w.UntilDiagnosis(0, cluster.MonitorIsolated)
		w.Shows("0: > (m) (s1) (s2)")

		w.heal(l.watching)
		w.Expect("master_up 0 m")
		w.expectOfBoth(cluster.SlaveUp, cluster.Slave, s1, s2)
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(3)
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// A failover of which plusmoin sees the beginning and the end.
func TestMonitorCutInTheMiddleOfAFailover(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(apart, nodes...)
		w.Expect("plusmoin_up 0")

		m.killLeaving(s1)
		w.Expect("master_down 0 m")
		w.cutBetweenRounds()
		s1.promote()
		s2.follow(s1)
		s2.untilStreaming(s1)
		w.expectOfBoth(cluster.SlaveDown, cluster.Lost, s1, s2)
		w.Quiet(6)
		w.Shows("0: > (m) (s1) (s2)")

		w.heal(l.watching)
		w.Expect("master_up 0 s1", "slave_up 0 s2")
		w.UntilDiagnosis(0, cluster.OK)
		w.Shows("0: s1 > s2 (m)")

		m.start()
		w.Expect("node_left 0 m", "cluster_split 1 m")
		w.UntilDiagnosis(0, cluster.SplitBrain)
		w.Quiet(3)
		w.Shows("0: s1 > s2; 1: m >")
		w.end()
	})
}

// cutBetweenRounds takes plusmoin from the network when a round has just ended.
func (w *watch) cutBetweenRounds() {
	w.lab.Helper()
	before := w.Status().Round.Number
	w.Until("a round has ended", func(d status.Document) bool { return d.Round.Number > before })
	w.cut(w.lab.watching)
}
