//go:build linux

package main_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// What a server says in place of an answer shows that it lives.

// hold keeps a lock on a server's table until its end, or until release.
func hold(t *testing.T, s *pglab.Server) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.SQL(ctx, `BEGIN; LOCK TABLE heartbeat IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)`) // its end is its failure
	}()
	release = func() {
		query(t, s, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'heartbeat'::regclass`)
		cancel()
		<-done
	}
	return release
}

func TestLockedTableOfTheOnlyServerIsNoDeath(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	release := hold(t, servers[0])
	w.UntilReason("m", cluster.ReasonUnwritable)
	neverSays(w, 0, 2*time.Second, dead...)
	w.Expect("master_down 0 m")
	if got := w.Last().Diagnosis; got != cluster.UnwritableMaster {
		t.Errorf("told with %q, want %q", got, cluster.UnwritableMaster)
	}
	release()
	w.Expect("master_up 0 m")
	w.stop()
}

// A server that ends the look by its own timeout is slow, not silent.
func TestSlowServerIsNoDeath(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.configure(conf{"is_slave_statement": "SELECT pg_is_in_recovery() FROM pg_sleep(10)"}, nodesOf(servers...)...)
	w.signal(syscall.SIGHUP)
	w.UntilReason("m", cluster.ReasonResources)
	neverSays(w, 0, 2*time.Second, dead...)
	w.Expect("master_down 0 m")
	w.stop()
}

// The slaves refuse the role, then the master dies: nobody can say that it has,
// and they have not.
func TestSlavesThatRefusePlusmoinAreNotDead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[1].SetHBA(ctx, "host plusmoin plusmoin 127.0.0.1/32 reject"))
	endOurs(t, servers[1])
	w.Expect("slave_down 0 s1")
	must(t, servers[0].Kill(ctx))
	w.Expect("master_down 0 m")
	neverSays(w, 0, 2*time.Second, dead...)
	must(t, servers[1].SetHBA(ctx, everybody))
	w.Expect("slave_up 0 s1")
	w.stop()
}

func TestMasterWrittenAnotherWayWhileItIsDownKeepsItsCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[0].Stop(ctx))
	w.Expect("master_down 0 m")
	w.configure(nil, node{name: "m again", host: "localhost", port: servers[0].Port()}, nodesOf(servers[1])[0])
	w.signal(syscall.SIGHUP)
	w.Expect("node_left 0 m")
	w.UntilDiagnosis(0, cluster.NoMaster)
	must(t, servers[0].Start(ctx))
	w.Expect("node_joined 0 m again", "master_up 0 m again")
	w.Quiet(4)
	w.Shows("0: m again > s1")
	w.stop()
}
