//go:build functional

package functional

import (
	"testing"

	dc "github.com/ory/dockertest/v3/docker"

	"plusmoin/cluster"
	"plusmoin/status"
)

// A frozen master keeps its connections and takes new ones, but never answers.
// When it goes on it still takes itself for the master, and so would every
// client that it has: it must not win against the one that replaced it.
func TestMasterFrozenReplacedThenThawed(t *testing.T) {
	core(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(wide(), nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		m.freeze()
		w.Expect("master_down 0 m")
		w.UntilReason("m", cluster.ReasonTimeout)
		w.Shows("0: > s1 s2 (m)")
		s1.promote()
		s2.follow(s1)
		w.Expect("master_up 0 s1")
		w.replaced("m")
		w.untilFollowing("s1", "s2")
		w.Shows("0: s1 > s2 (m)")

		m.thaw()
		w.Expect("node_left 0 m", "cluster_split 1 m")
		w.Shows("0: s1 > s2; 1: m >")
		w.UntilDiagnosis(0, cluster.SplitBrain)
		w.Quiet(10)
		w.Shows("0: s1 > s2; 1: m >")
		w.end()
	})
}

// The same at the worst moment: when the thawed one answers, the new master does
// not. It is only suspect, and what is stale must not take its place.
func TestMasterThawedWhileItsSuccessorIsSuspect(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(conf{"fail_interval": 8, "max_sync_delay": 12}, nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		m.freeze()
		w.untilSuspect("m")
		s1.promote()
		s2.follow(s1)
		w.Expect("master_up 0 s1")
		w.replaced("m")
		w.untilFollowing("s1", "s2")

		s1.freeze()
		w.untilSuspect("s1")
		m.thaw()
		w.Expect("node_left 0 m", "cluster_split 1 m")
		if !w.Detail("s1").Suspect {
			l.Error("s1 is not suspect; the story has proved nothing")
		}
		s1.thaw()
		w.UntilReason("s1", "")
		w.Shows("0: s1 > s2; 1: m >")
		w.Quiet(8)
		w.end()
	})
}

// A host that stands still is down when it does so for fail_interval, nothing
// at all when for less, and takes its place again when it goes on.
func TestPausedContainer(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1 := nodes[0], nodes[1]
		w := l.watch(conf{"fail_interval": 6}, nodes...)
		w.Expect("plusmoin_up 0")

		for _, n := range []node{s1, m} {
			n.pause()
			w.untilSuspect(n.name)
			n.unpause()
			w.UntilReason(n.name, "")
		}
		w.Quiet(4)
		w.Shows("0: m > s1 s2")

		s1.pause()
		w.Expect("slave_down 0 s1")
		w.UntilReason("s1", cluster.ReasonTimeout)
		w.Shows("0: m > s2 (s1)")
		s1.unpause()
		w.Expect("slave_up 0 s1")
		w.Shows("0: m > s1 s2")

		m.pause()
		w.Expect("master_down 0 m")
		w.UntilReason("m", cluster.ReasonTimeout)
		w.Quiet(12) // longer than max_sync_delay
		w.Shows("0: > s1 s2 (m)")
		m.unpause()
		w.Expect("master_up 0 m")
		w.replaced("m")
		w.Quiet(4)
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// d replays everything 8 s late, by its configuration, and has limits that know
// of it; x is as late and has not.
func TestDelayedSlave(t *testing.T) {
	others(t, func(l *lab) {
		m := l.master("m")
		s1 := l.slave("s1", m)
		d := l.slave("d", m, "recovery_min_apply_delay = '8s'")
		x := l.slave("x", m, "recovery_min_apply_delay = '8s'")
		for _, s := range []node{s1, d, x} {
			s.untilStreaming(m)
		}
		own := conf{"host": "d", "max_sync_delay": 15} // and so, to come up again, 13
		w := l.watchEntries(conf{"fail_interval": 4, "max_sync_delay": 4}, conf{"host": "m"}, conf{"host": "s1"}, own)

		// Its first row comes 8 s after the start: it has nothing to be judged by.
		w.Expect("plusmoin_up 0")
		w.Shows("0: m > s1; -: d")
		w.Expect("node_joined 0 d", "slave_up 0 d")
		w.Shows("0: m > s1 d")

		d.kill()
		w.Expect("slave_down 0 d")
		w.Shows("0: m > s1 (d)")
		d.start()
		w.Expect("slave_up 0 d")
		w.Shows("0: m > s1 d")

		d.sql("SELECT pg_wal_replay_pause()")
		w.Expect("slave_down 0 d")
		w.UntilReason("d", cluster.ReasonLag)
		if lag := w.Detail("d").Lag; lag == nil || *lag <= 15 {
			l.Errorf("the lag of d is %v, want more than its 15 s", lag)
		}
		d.sql("SELECT pg_wal_replay_resume()")
		w.Expect("slave_up 0 d")

		w.entries(l, conf{"host": "m"}, conf{"host": "s1"}, own, conf{"host": "x"})
		w.reload()
		w.Expect("node_joined 0 x")
		w.UntilReason("x", cluster.ReasonLag)
		w.Quiet(8)
		w.Shows("0: m > s1 d (x)")

		// With a row from before, the start has what to judge d by.
		w.stop(10)
		w.restart()
		w.Expect("plusmoin_up 0")
		w.Shows("0: m > s1 d (x)")
		w.Quiet(8)
		w.end()
	})
}

// plusmoin is killed when it has told that the master is down, and the failover
// goes on without it.
func TestPlusmoinKilledInTheMiddleOfAFailover(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(wide(), nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		m.killLeaving(s1)
		w.Expect("master_down 0 m")
		w.kill()
		s1.promote()
		s2.follow(s1)
		w.restart()
		w.Expect("plusmoin_up 0")
		w.Shows("0: s1 > s2; -: m")
		w.Quiet(8)

		m.start()
		w.Expect("cluster_up 1 m")
		w.Shows("0: s1 > s2; 1: m >")
		w.UntilDiagnosis(1, cluster.SplitBrain)
		w.Quiet(8)
		w.end()
	})
}

// The same, but the failover waits: what the slaves have is all there is to
// know the cluster by.
func TestPlusmoinKilledWhileThereIsNoMaster(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(wide(), nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		m.killLeaving(s1)
		w.Expect("master_down 0 m")
		w.kill()
		w.restart()
		w.Expect("plusmoin_up 0")
		w.Shows("0: > s1 s2 (m)")
		w.Quiet(26) // longer than max_sync_delay

		s1.promote()
		s2.follow(s1)
		w.Expect("master_up 0 s1")
		w.replaced("m")
		w.untilFollowing("s1", "s2")
		w.Shows("0: s1 > s2 (m)")
		m.start()
		w.Expect("node_left 0 m", "cluster_split 1 m")
		w.Shows("0: s1 > s2; 1: m >")
		w.end()
	})
}

// plusmoin stands still while the power goes, so that all of it is one round,
// in which nobody could tell the cluster's fault from one of its own.
func TestPowerCutOfTheWholeCluster(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(conf{"heartbeat": 2, "fail_interval": 4}, nodes...)
		w.Expect("plusmoin_up 0")

		w.untilBeaten()
		w.pause()
		l.powerCut(m.host, s1.host, s2.host)
		w.unpause()
		w.Expect("master_down 0 m", "slave_down 0 s1", "slave_down 0 s2")
		w.Shows("0: > (m) (s1) (s2)")
		w.UntilDiagnosis(0, cluster.MonitorIsolated)

		s2.start()
		w.Expect("slave_up 0 s2")
		w.Shows("0: > s2 (m) (s1)")
		w.UntilDiagnosis(0, cluster.DeadMaster)
		m.start()
		w.Expect("master_up 0 m")
		w.Shows("0: m > s2 (s1)")
		s1.start()
		w.Expect("slave_up 0 s1")
		w.Shows("0: m > s1 s2")
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(4)
		w.end()
	})
}

// plusmoin loses power too, and is the first to have it again: it knows nobody
// and finds the cluster's id again in the row of its master.
func TestPowerCutThatTakesPlusmoinToo(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(wide(), nodes...)
		w.Expect("plusmoin_up 0")

		l.powerCut(m.host, s1.host, s2.host, w.host)
		w.restart()
		w.Until("nobody known", func(d status.Document) bool {
			return d.State == status.Running && w.Picture(d) == "-: m s1 s2"
		})
		s2.start()
		w.UntilReason("s2", "")
		w.Quiet(8)
		w.Shows("-: m s1 s2")
		m.start()
		w.Expect("cluster_up 0 m", "node_joined 0 s2", "slave_up 0 s2")
		s1.start()
		w.Expect("node_joined 0 s1", "slave_up 0 s1")
		w.Shows("0: m > s1 s2")
		w.UntilDiagnosis(0, cluster.OK)
		w.end()
	})
}

// untilSuspect waits until a node fails and keeps its place nevertheless.
func (w *watch) untilSuspect(name string) {
	w.lab.Helper()
	w.Until(name+" suspect", func(d status.Document) bool { return d.Nodes[w.Address(name)].Suspect })
}

// watchEntries is watch for nodes with settings of their own.
func (l *lab) watchEntries(over conf, entries ...conf) *watch {
	l.Helper()
	over["nodes"] = entries
	w := l.watch(over)
	w.call(entries)
	return w
}

// entries configures these nodes for the next start or reload.
func (w *watch) entries(l *lab, entries ...conf) {
	l.Helper()
	w.configure(l, conf{"nodes": entries})
	w.call(entries)
}

// call lets the story call nodes by their hosts.
func (w *watch) call(entries []conf) {
	for _, e := range entries {
		host := e["host"].(string)
		w.Name[cluster.Node{Host: host, Port: 5432}.String()] = host
	}
}

// powerCut kills hosts at the same moment.
func (l *lab) powerCut(hosts ...*host) {
	l.Helper()
	var cuts []func() error
	for _, h := range hosts {
		cuts = append(cuts, func() error {
			return docker.Client.KillContainer(dc.KillContainerOptions{ID: h.id(), Signal: dc.SIGKILL})
		})
	}
	l.atOnce(cuts...)
	for _, h := range hosts {
		l.await(h.name+" has ended", func() (bool, error) {
			c, err := docker.Client.InspectContainer(h.id())
			return err == nil && !c.State.Running, err
		})
	}
}
