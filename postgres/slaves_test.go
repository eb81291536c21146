package postgres

import (
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// pair is a master and a slave, the role of whose monitor sees all.
type pair struct {
	t             *testing.T
	master, slave *pglab.Server
	fleet         *Fleet
	m, s          cluster.Node
	sent          cluster.Stamp
}

func newPair(t *testing.T) *pair {
	t.Helper()
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	p := &pair{t: t, master: servers[0], slave: servers[1], fleet: openFleet(t, labSettings()), m: nodeOf(servers[0]), s: nodeOf(servers[1])}
	sql(t, p.master, "GRANT pg_read_all_stats TO plusmoin")
	p.look()
	p.beat()
	p.caughtUp()
	return p
}

func (p *pair) look() (master, slave cluster.Sighting) {
	p.t.Helper()
	seen := p.fleet.Look(p.t.Context(), []cluster.Node{p.m, p.s}, nil)
	if !answered(seen[p.m]) {
		p.t.Fatalf("master: %+v", seen[p.m])
	}
	return seen[p.m], seen[p.s]
}

func (p *pair) beat() {
	p.t.Helper()
	p.sent++
	confirmed(p.t, sendBeat(p.t, p.fleet, beatOf(1, p.m, p.sent)))
}

// until looks until good holds of the slave.
func (p *pair) until(good func(cluster.Sighting) bool) cluster.Sighting {
	p.t.Helper()
	var seen cluster.Sighting
	until(p.t, func() bool {
		_, seen = p.look()
		return good(seen)
	}, func() { p.t.Logf("last seen: %+v, row %+v", seen, seen.Row) })
	return seen
}

// caughtUp waits until the slave shows the last beat.
func (p *pair) caughtUp() {
	p.t.Helper()
	p.until(func(s cluster.Sighting) bool { return answered(s) && s.Row != nil && s.Row.Stamp == p.sent })
}

// behind sends a beat and sees to it that the slave answers without it.
func (p *pair) behind() cluster.Sighting {
	p.t.Helper()
	p.beat()
	for range 20 {
		if _, seen := p.look(); !answered(seen) || seen.Row == nil || seen.Row.Stamp >= p.sent {
			p.t.Fatalf("%+v, row %+v", seen, seen.Row)
		}
		<-time.After(10 * time.Millisecond)
	}
	_, seen := p.look()
	return seen
}

// Whatever keeps a slave from replaying, it answers and its row stays behind;
// the facts say what they can of why.
func TestSlaveFallsBehind(t *testing.T) {
	t.Parallel()
	p := newPair(t)

	must(t, p.slave.PauseReplay(t.Context()))
	if seen := p.behind(); seen.Facts.ReplayPaused != cluster.Yes || !seen.Facts.Receiver.Running {
		t.Errorf("paused: %+v", seen.Facts)
	}
	must(t, p.slave.ResumeReplay(t.Context()))
	p.caughtUp()

	must(t, p.slave.SetConf(t.Context(), "recovery_min_apply_delay", "1h"))
	if seen := p.behind(); seen.Facts.ReplayPaused != cluster.No || !seen.Facts.Receiver.Running || seen.Facts.ReplayLSN >= seen.Facts.LSN {
		t.Errorf("delayed: %+v", seen.Facts)
	}
	must(t, p.slave.SetConf(t.Context(), "recovery_min_apply_delay", "0"))
	p.caughtUp()

	upstream := sql(t, p.slave, "SHOW primary_conninfo")
	must(t, p.slave.SetConf(t.Context(), "primary_conninfo", ""))
	p.until(func(s cluster.Sighting) bool { return s.Facts.Receiver.Known && !s.Facts.Receiver.Running })
	if seen := p.behind(); seen.Facts.Receiver.Upstream != "" || seen.Facts.Timeline != 1 {
		t.Errorf("receiver cut: %+v", seen.Facts)
	}
	must(t, p.slave.SetConf(t.Context(), "primary_conninfo", upstream))
	p.caughtUp()
}

// A query on the slave that replay would disturb holds up replay, not us.
func TestQueryConflict(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	must(t, p.slave.SetConf(t.Context(), "max_standby_streaming_delay", "-1"))
	sql(t, p.master, "CREATE TABLE other AS SELECT generate_series(1, 1000) AS n")
	must(t, p.slave.CatchUp(t.Context()))
	end := hold(t, p.slave, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other; SELECT pg_sleep(60)")
	sql(t, p.master, "DELETE FROM other; VACUUM other")
	if seen := p.behind(); !seen.Facts.Receiver.Running || seen.Facts.ReplayLSN >= seen.Facts.LSN {
		t.Errorf("%+v", seen.Facts)
	}
	end()
	p.caughtUp()

	sql(t, p.master, "ALTER TABLE heartbeat SET UNLOGGED") // and so not to be read on a slave
	p.until(because(cluster.ReasonMisconfigured))
}

// hold runs a query that ends with pg_sleep(60) and returns when it sleeps. The
// query is ended by end.
func hold(t *testing.T, s *pglab.Server, query string) (end func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.SQL(t.Context(), query) // ended below
	}()
	const sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
	until(t, func() bool { return sql(t, s, "SELECT count(*) "+sleeping) == "1" }, func() {})
	return func() {
		t.Helper()
		sql(t, s, "SELECT pg_terminate_backend(pid) "+sleeping)
		<-done
	}
}

// A client that hangs at commit, since the synchronous standby is missing, keeps
// its lock on the row; beats are refused until it goes.
func TestLockOfOneWhoWaits(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, with(quick))
	lookUntil(t, f, n, answered)
	confirmed(t, sendBeat(t, f, beatOf(1, n, 1)))
	must(t, server.SetConf(t.Context(), "synchronous_standby_names", "nobody"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = server.SQL(t.Context(), "UPDATE heartbeat SET tstamp = 5") // as an older monitor would
	}()
	until(t, func() bool {
		return sql(t, server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
	}, func() {})
	if sent := sendBeat(t, f, beatOf(1, n, 2)); sent.Verdict != cluster.Refused || sent.Reason != cluster.ReasonUnwritable {
		t.Errorf("%+v", sent)
	}
	if seen := lookAt(t, f, n); !answered(seen) || seen.Facts.SyncBlocked != cluster.Yes {
		t.Errorf("%+v", seen)
	}
	must(t, server.SetConf(t.Context(), "synchronous_standby_names", ""))
	<-done
	confirmed(t, sendBeat(t, f, beatOf(1, n, 3)))
}

// A server that takes its time to recover says so, on a slave and after a crash.
func TestLongRecovery(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	// It asks its archive several times before it lets anybody in.
	must(t, p.slave.SetConf(t.Context(), "restore_command", "sleep 0.5; false"))
	must(t, p.slave.Stop(t.Context()))
	p.until(because(cluster.ReasonRefused))
	must(t, p.slave.Launch())
	p.until(because(cluster.ReasonStartingUp))
	p.caughtUp()

	// No checkpoint, so that all of it has to be replayed.
	must(t, p.master.SetConf(t.Context(), "max_wal_size", "8GB"))
	must(t, p.master.SetConf(t.Context(), "checkpoint_timeout", "1h"))
	sql(t, p.master, "CREATE TABLE large AS SELECT n, repeat('x', 200) AS filler FROM generate_series(1, 400000) AS n")
	must(t, p.master.Kill(t.Context()))
	dropped(t, p.fleet)
	must(t, p.master.Launch())
	lookUntil(t, p.fleet, p.m, because(cluster.ReasonStartingUp))
	lookUntil(t, p.fleet, p.m, answered)
	confirmed(t, sendBeat(t, p.fleet, beatOf(1, p.m, p.sent+1)))
}
