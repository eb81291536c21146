//go:build functional

package functional

import (
	"slices"
	"strings"
	"testing"

	"github.com/ory/dockertest/v3"

	"plusmoin/cluster"
	"plusmoin/status"
)

// unhurried leaves the slaves time to hear from a master before it is declared
// down, and a loaded machine time to show the difference between slow and cut.
var unhurried = conf{"fail_interval": 5, "max_sync_delay": 10, "recover_sync_delay": 4}

// The master is written to and its slaves stream, only plusmoin cannot reach it.
// A failover would make two masters, and master_down itself says so.
func TestMasterCutFromTheMonitorWhileItsSlavesStream(t *testing.T) {
	core(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m := nodes[0]
		w := l.watch(unhurried, nodes...)
		w.Expect("plusmoin_up 0")
		m.keepBusy()

		m.cut(l.watching)
		w.Expect("master_down 0 m")
		w.checkToldUnreachable()
		w.Quiet(6)
		w.UntilDiagnosis(0, cluster.UnreachableMaster)
		w.Shows("0: > s1 s2 (m)")

		m.heal(l.watching)
		w.Expect("master_up 0 m")
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(6)
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// The same, but only what the master sends to plusmoin is lost: it still hears
// what it is asked, and answers.
func TestMasterWhoseAnswersAreLost(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m := nodes[0]
		w := l.watch(unhurried, nodes...)
		w.Expect("plusmoin_up 0")
		m.keepBusy()

		m.mute(w.host, l.watching)
		w.Expect("master_down 0 m")
		w.checkToldUnreachable()
		m.untilUnheard(w.host, l.watching)
		w.Quiet(6)
		w.UntilReason("m", cluster.ReasonTimeout)
		w.UntilDiagnosis(0, cluster.UnreachableMaster)
		w.Shows("0: > s1 s2 (m)")

		m.unmute(w.host, l.watching)
		w.Expect("master_up 0 m")
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(6)
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// The master and one slave are on the far side. The slave on plusmoin's side
// still streams through the other network.
func TestMasterAndOneSlaveOnTheFarSide(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1 := nodes[0], nodes[1]
		w := l.watch(unhurried, nodes...)
		w.Expect("plusmoin_up 0")
		m.keepBusy()

		m.cut(l.watching)
		s1.cut(l.watching)
		w.Expect("master_down 0 m", "slave_down 0 s1")
		w.checkToldUnreachable()
		w.Quiet(6)
		w.UntilDiagnosis(0, cluster.UnreachableMaster)
		w.Shows("0: > s2 (m) (s1)")

		m.heal(l.watching)
		w.Expect("master_up 0 m")
		s1.heal(l.watching)
		w.Expect("slave_up 0 s1")
		w.UntilDiagnosis(0, cluster.OK)
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// All answer plusmoin, but the slaves get nothing any more.
func TestMasterCutFromItsSlavesWhileTheMonitorSeesAll(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(unhurried, nodes...)
		w.Expect("plusmoin_up 0")

		m.cut(l.replicating)
		w.expectOfBoth(cluster.SlaveDown, cluster.Lost, s1, s2)
		w.UntilReason("s1", cluster.ReasonLag)
		w.UntilReason("s2", cluster.ReasonLag)
		w.UntilDiagnosis(0, cluster.NoSlavesInSync)
		w.Quiet(6)
		w.Shows("0: m > (s1) (s2)")

		m.heal(l.replicating)
		w.expectOfBoth(cluster.SlaveUp, cluster.Slave, s1, s2)
		w.UntilDiagnosis(0, cluster.OK)
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// Only between the master and one of its slaves nothing gets through.
func TestOneSlaveCutFromTheMaster(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1 := nodes[0], nodes[1]
		w := l.watch(unhurried, nodes...)
		w.Expect("plusmoin_up 0")

		m.mute(s1.host, l.replicating)
		s1.mute(m.host, l.replicating)
		w.Expect("slave_down 0 s1")
		w.UntilReason("s1", cluster.ReasonLag)
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(6)
		w.Shows("0: m > s2 (s1)")

		m.unmute(s1.host, l.replicating)
		s1.unmute(m.host, l.replicating)
		w.Expect("slave_up 0 s1")
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// A slave that streams, but that plusmoin cannot reach, is down for it: nobody
// can be sent there.
func TestOneSlaveCutFromTheMonitor(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s2 := nodes[0], nodes[2]
		w := l.watch(unhurried, nodes...)
		w.Expect("plusmoin_up 0")

		s2.cut(l.watching)
		w.Expect("slave_down 0 s2")
		unreached := []cluster.Reason{cluster.ReasonTimeout, cluster.ReasonUnreachable, cluster.ReasonDNS}
		if got := w.Detail("s2").Reason; got == nil || !slices.Contains(unreached, *got) {
			l.Errorf("the reason of s2 is %v, want one of %q", got, unreached)
		}
		s2.untilStreaming(m)
		w.Quiet(6)
		w.Shows("0: m > s1 (s2)")

		s2.heal(l.watching)
		w.Expect("slave_up 0 s2")
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// The master is cut from plusmoin, then from everybody, and lives on. Nobody
// writes on it, but its slaves ask after it when they hear nothing for half of
// wal_receiver_timeout. When it is back it is a master beside the one that
// replaced it, and never again that of its old cluster.
func TestMasterCutFromEverybodyIsReplacedAndReturns(t *testing.T) {
	others(t, func(l *lab) {
		m := l.master("m")
		s1 := l.slave("s1", m, "wal_receiver_timeout = '3s'")
		s2 := l.slave("s2", m, "wal_receiver_timeout = '3s'")
		s1.untilStreaming(m)
		s2.untilStreaming(m)
		w := l.watch(unhurried, m, s1, s2)
		w.Expect("plusmoin_up 0")

		m.cut(l.watching)
		w.Expect("master_down 0 m")
		w.checkToldUnreachable()
		m.cut(l.replicating)
		w.UntilDiagnosis(0, cluster.DeadMaster)
		s1.promote()
		s2.follow(s1)
		w.Expect("master_up 0 s1")
		s2.untilStreaming(s1)
		w.Shows("0: s1 > s2 (m)")

		m.heal(l.replicating)
		m.heal(l.watching)
		w.Expect("node_left 0 m", "cluster_split 1 m")
		w.UntilDiagnosis(0, cluster.SplitBrain)
		w.UntilDiagnosis(1, cluster.SplitOff)
		w.Quiet(10)
		w.Shows("0: s1 > s2; 1: m >")
		w.end()
	})
}

// keepBusy lets a client write on a master, five times a second, from now on.
func (n node) keepBusy() {
	n.lab.Helper()
	n.sql("CREATE TABLE written (at timestamptz)")
	n.exec("sh", "-c", `echo 'INSERT INTO written VALUES (now()) \watch 0.2' | psql -X -q >/dev/null 2>&1 &`)
}

// untilUnheard waits until the host has sent to another what does not arrive.
func (h *host) untilUnheard(by *host, on *dockertest.Network) {
	h.lab.Helper()
	h.lab.await(h.name+" speaks to "+by.name+" in vain", func() (bool, error) {
		sockets, err := h.try("ss", "-Htn", "state", "established", "dst", by.address[on])
		queues := strings.Fields(sockets) // received, sent, ...
		return len(queues) > 1 && queues[1] != "0", err
	})
}

// checkToldUnreachable checks what a trigger that might begin a failover was
// told last.
func (w *watch) checkToldUnreachable() {
	w.lab.Helper()
	if got := w.Last().Diagnosis; got != cluster.UnreachableMaster {
		w.lab.Errorf("the diagnosis told with the event is %q, want %q", got, cluster.UnreachableMaster)
	}
}

// expectOfBoth is Expect for what happens to two slaves, which may be some rounds
// apart: it is to be told in the order in which status.json says that they came
// to their new place.
func (w *watch) expectOfBoth(event cluster.Kind, now cluster.Place, first, second node) {
	w.lab.Helper()
	var a, b cluster.Detail
	w.Until("both are "+string(now), func(d status.Document) bool {
		a, b = d.Nodes[w.Address(first.name)], d.Nodes[w.Address(second.name)]
		return a.State == now && b.State == now
	})
	if b.Since.Before(a.Since) {
		first, second = second, first
	}
	w.Expect(string(event)+" 0 "+first.name, string(event)+" 0 "+second.name)
}
