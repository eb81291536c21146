//go:build functional

package functional

import (
	"slices"
	"testing"

	"plusmoin/cluster"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// The functional scenario of the original plusmoin, to its end: a slave fails and
// returns, the master does, it dies for good and a slave is promoted, the other
// one follows; the old master returns, leaves for a cluster of its own, is
// rebuilt as a slave and comes back.
func TestFailoverFromTheFirstHeartbeatToTheMerge(t *testing.T) {
	core(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(nil, m, s1, s2)
		w.Expect("plusmoin_up 0")
		w.Shows("0: m > s1 s2")

		s1.stop(10)
		w.Expect("slave_down 0 s1")
		w.Shows("0: m > s2 (s1)")
		s1.start()
		w.Expect("slave_up 0 s1")

		m.stop(10)
		w.Expect("master_down 0 m")
		w.Shows("0: > s1 s2 (m)")
		m.start()
		w.Expect("master_up 0 m")
		w.Shows("0: m > s1 s2")

		m.killLeaving(s1)
		w.Expect("master_down 0 m")
		w.UntilDiagnosis(0, cluster.DeadMaster)
		s1.promote()
		s2.follow(s1)
		w.Expect("master_up 0 s1")
		if old := w.Last().OldMaster; old == nil || story.AddressOf(*old) != w.Address("m") {
			l.Errorf("old_master of master_up is %v, want m", old)
		}
		w.Until("s2 naming its new master", func(d status.Document) bool {
			return len(d.Clusters) > 0 && slices.ContainsFunc(d.Clusters[0].Slaves, func(e cluster.Entry) bool {
				return story.AddressOf(e) == w.Address("s2") && e.MasterName == w.Address("s1")
			})
		})
		w.Shows("0: s1 > s2 (m)")

		m.start()
		w.Expect("node_left 0 m", "cluster_split 1 m")
		w.Shows("0: s1 > s2; 1: m >")
		w.UntilDiagnosis(1, cluster.SplitOff)

		m.exec("node", "rebuild", s1.replica())
		m.stop(10)
		w.Expect("master_down 1 m")
		m.start()
		w.Expect("node_left 1 m", "node_joined 0 m", "cluster_gone 1", "slave_up 0 m")
		w.Shows("0: s1 > m s2")
		w.UntilDiagnosis(0, cluster.OK)
		w.end()
	})
}

// A switchover in order: the master is shut down and a slave promoted, which the
// others and the old master follow.
func TestSwitchover(t *testing.T) {
	core(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(conf{"fail_interval": 5, "max_sync_delay": 10}, m, s1, s2)
		w.Expect("plusmoin_up 0")

		m.exec("node", "demote", s1.replica())
		m.stop(10)
		s1.promote()
		s2.follow(s1)
		m.start()
		w.Expect("master_up 0 s1", "slave_up 0 m")
		w.Shows("0: s1 > m s2")
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(4)
		w.end()
	})
}
