//go:build functional

package functional

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// wide are limits that leave a busy machine time to fail over. Repointing alone
// takes a while: a receiver that is asking where its dead master is does not hear
// for 2 s that it has another.
func wide() conf { return conf{"fail_interval": 4, "max_sync_delay": 12} }

// A script that is quick replaces a master before it is declared down: then
// only its successor is told of.
func TestFailoverWithRepointing(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2", "s3")
		m, s1, s2, s3 := nodes[0], nodes[1], nodes[2], nodes[3]
		w := l.watch(conf{"fail_interval": 20, "max_sync_delay": 12}, nodes...)
		w.Expect("plusmoin_up 0")
		w.Shows("0: m > s1 s2 s3")

		w.untilBeaten()
		m.killLeaving(s1)
		s1.promote()
		s2.follow(s1)
		s3.follow(s1)
		w.Expect("master_up 0 s1")
		w.replaced("m")
		w.untilFollowing("s1", "s2", "s3")
		w.Shows("0: s1 > s2 s3 (m)")
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(8)
		w.end()
	})
}

// The old master of a failover returns, is rebuilt and merges. When it has
// succeeded its successor, that returns in turn: no id is used twice.
func TestOldMasterReturnsIsSplitOffRebuiltAndMerges(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(wide(), nodes...)
		w.Expect("plusmoin_up 0")

		w.succeed(m, s1, s2)
		w.Shows("0: s1 > s2 (m)")
		m.start()
		w.Expect("node_left 0 m", "cluster_split 1 m")
		w.Shows("0: s1 > s2; 1: m >")
		w.UntilDiagnosis(0, cluster.SplitBrain)

		m.exec("node", "rebuild", s1.replica())
		m.stop(10)
		w.Expect("master_down 1 m")
		w.Shows("0: s1 > s2; 1: > (m)")
		m.start()
		w.Expect("node_left 1 m", "node_joined 0 m", "cluster_gone 1", "slave_up 0 m")
		w.Shows("0: s1 > m s2")
		w.UntilDiagnosis(0, cluster.OK)

		w.succeed(s1, m, s2)
		w.Shows("0: m > s2 (s1)")
		s1.start()
		w.Expect("node_left 0 s1", "cluster_split 2 s1")
		w.Shows("0: m > s2; 2: s1 >")
		w.end()
	})
}

// Two slaves are promoted at the same moment. Which one plusmoin sees first as a
// master is a matter of chance, what it does with both is not. With a heartbeat
// of 2 s a new master has so long to confirm its beats: when one that is slow
// does not, the other may replace it.
func TestTwoPromotionsAtOnce(t *testing.T) {
	core(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2", "s3")
		m, s1, s2, s3 := nodes[0], nodes[1], nodes[2], nodes[3]
		w := l.watch(conf{"heartbeat": 2, "fail_interval": 4, "max_sync_delay": 30}, nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		m.killLeaving(s1, s2)
		w.Expect("master_down 0 m")
		l.atOnce(s1.promotion, s2.promotion)
		winner, loser := s1, s2
		if w.masterOf(0) == w.Address("s2") {
			winner, loser = s2, s1
		}
		w.Expect("master_up 0 "+winner.name, "node_left 0 "+loser.name, "cluster_split 1 "+loser.name)
		w.Shows("0: " + winner.name + " > s3 (m); 1: " + loser.name + " >")
		w.UntilDiagnosis(0, cluster.SplitBrain)

		s3.follow(winner)
		w.untilFollowing(winner.name, "s3")
		w.Quiet(4)
		w.Shows("0: " + winner.name + " > s3 (m); 1: " + loser.name + " >")
		w.end()
	})
}

// When plusmoin sees both for the first time in one round, the one that is
// further on wins, not the first of the configuration.
func TestFurtherOfTwoPromotedSlavesWins(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2", "s3")
		m, s1, s2, s3 := nodes[0], nodes[1], nodes[2], nodes[3]
		w := l.watch(conf{"heartbeat": 2, "fail_interval": 4, "max_sync_delay": 30}, nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		m.kill()
		w.Expect("master_down 0 m")
		w.untilBeaten()
		w.pause()
		l.atOnce(s1.promotion, s2.promotion)
		s2.sql("CREATE TABLE further AS SELECT generate_series(1, 1000)")
		s3.follow(s2)
		w.unpause()
		w.Expect("master_up 0 s2", "node_left 0 s1", "cluster_split 1 s1")
		w.untilFollowing("s2", "s3")
		w.Quiet(4)
		w.Shows("0: s2 > s3 (m); 1: s1 >")
		w.end()
	})
}

// s2 streams from s1, which is what it has its lag from and, in the end, what
// makes it follow the new master by itself. A slave that never failed is up
// again as soon as it has caught up, one that did has to answer for a while.
func TestCascadingSlave(t *testing.T) {
	others(t, func(l *lab) {
		m := l.master("m")
		s1 := l.slave("s1", m)
		s2 := l.slave("s2", s1)
		s1.untilStreaming(m)
		s2.untilStreaming(s1)
		w := l.watch(conf{"fail_interval": 8, "max_sync_delay": 12}, m, s1, s2)
		w.Expect("plusmoin_up 0")
		w.Shows("0: m > s1 s2")

		s1.kill()
		w.Expect("slave_down 0 s1")
		w.Shows("0: m > s2 (s1)")
		w.Expect("slave_down 0 s2")
		w.UntilReason("s2", cluster.ReasonLag)
		w.Shows("0: m > (s1) (s2)")
		w.UntilDiagnosis(0, cluster.NoSlavesInSync)
		s1.start()
		w.Expect("slave_up 0 s2", "slave_up 0 s1")
		w.Shows("0: m > s1 s2")
		s2.untilStreaming(s1)

		m.kill()
		w.Expect("master_down 0 m")
		w.Shows("0: > s1 s2 (m)")
		s1.promote()
		w.Expect("master_up 0 s1")
		w.untilFollowing("s1", "s2")
		w.Quiet(8)
		w.Shows("0: s1 > s2 (m)")
		w.UntilDiagnosis(0, cluster.OK)
		w.end()
	})
}

// succeed kills the master of cluster 0 and lets a slave succeed it, which
// another one follows.
func (w *watch) succeed(old, successor, follower node) {
	w.lab.Helper()
	w.untilBeaten()
	old.killLeaving(successor)
	w.Expect("master_down 0 " + old.name)
	successor.promote()
	follower.follow(successor)
	w.Expect("master_up 0 " + successor.name)
	w.replaced(old.name)
	w.untilFollowing(successor.name, follower.name)
}

// untilBeaten returns just after a round. All slaves have the master's beat then,
// so that each can follow each other if it dies before the next.
func (w *watch) untilBeaten() {
	w.lab.Helper()
	defer func(every time.Duration) { w.Every = every }(w.Every)
	w.Every = 20 * time.Millisecond
	round := w.Status().Round.Number
	w.Until("a round", func(d status.Document) bool { return d.Round.Number > round })
}

// untilFollowing waits until slaves in sync have a beat of this master.
func (w *watch) untilFollowing(master string, slaves ...string) {
	w.lab.Helper()
	for _, name := range slaves {
		w.Until(name+" naming "+master, func(d status.Document) bool {
			return slices.ContainsFunc(d.Clusters, func(c cluster.Cluster) bool {
				return slices.ContainsFunc(c.Slaves, func(e cluster.Entry) bool {
					return story.AddressOf(e) == w.Address(name) && e.MasterName == w.Address(master)
				})
			})
		})
	}
}

// masterOf waits until a cluster has a master and returns its address.
func (w *watch) masterOf(id int) (address string) {
	w.lab.Helper()
	w.Until("a master", func(d status.Document) bool {
		for _, c := range d.Clusters {
			if c.ID == id && c.Master != nil {
				address = story.AddressOf(*c.Master)
			}
		}
		return address != ""
	})
	return address
}

// replaced checks whom the event that was told last names as the old master.
func (w *watch) replaced(name string) {
	w.lab.Helper()
	if e := w.Last(); e.OldMaster == nil || story.AddressOf(*e.OldMaster) != w.Address(name) {
		w.lab.Errorf("old_master of %s is %v, want %s", e.Event, e.OldMaster, name)
	}
}

// promotion is promote for atOnce.
func (n node) promotion() error {
	_, err := n.try("node", "promote")
	return err
}

// atOnce does several things at the same moment and returns when all are done.
func (l *lab) atOnce(do ...func() error) {
	l.Helper()
	errs := make([]error, len(do))
	var running sync.WaitGroup
	for i, f := range do {
		running.Go(func() { errs[i] = f() })
	}
	running.Wait()
	l.must(errors.Join(errs...))
}
