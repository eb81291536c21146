//go:build linux

package main_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/status"
)

// session runs statements in a session of its own that goes on for as long as
// they take, and waits at the end of the test for it to end.
func session(t *testing.T, s *pglab.Server, sql string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _, _ = s.SQL(ctx, sql) }) // it is ended by force, here or by the server
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// endSessions ends all sessions whose statement contains a mark.
func endSessions(t *testing.T, s *pglab.Server, mark string) {
	t.Helper()
	query(t, s, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%`+mark+`%'`)
}

func TestMissingSynchronousStandbyIsShownAndHangsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	query(t, servers[0], `GRANT pg_read_all_stats TO plusmoin`)
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	blocked := func(want cluster.Flag) func(status.Document) bool {
		return func(d status.Document) bool { return d.Nodes[w.Address("m")].SyncBlocked == want }
	}
	w.Until("sync_blocked false", blocked(cluster.No))

	must(t, servers[0].SetConf(ctx, "synchronous_standby_names", "ghost"))
	w.Until("sync_blocked", blocked(cluster.Yes))
	w.Quiet(6)
	w.UntilDiagnosis(0, cluster.OK)
	if d := w.Detail("m"); d.Suspect || d.Reason != nil {
		t.Errorf("the master is %+v, want it in good order", d)
	}
	must(t, servers[0].SetConf(ctx, "synchronous_standby_names", "s1"))
	w.Until("sync_blocked false", blocked(cluster.No))
	w.stop()
}

func TestReadOnlyMasterIsDownUntilItCanBeWritten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[0].SetConf(ctx, "default_transaction_read_only", "on"))
	w.Expect("master_down 0 m")
	w.UntilReason("m", cluster.ReasonUnwritable)
	w.UntilDiagnosis(0, cluster.UnwritableMaster)
	w.Quiet(10) // longer than max_sync_delay: the slave lacks nothing
	must(t, servers[0].SetConf(ctx, "default_transaction_read_only", "off"))
	w.Expect("master_up 0 m")
	w.UntilReason("m", "")
	w.stop()
}

// A server without a free connection is not dead: the kept one shows it.
func TestExhaustedConnectionsAreShownAndTakeNobodyDown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const most, reserved = 12, 3
	lab := pglab.New(t, pglab.Conf("max_connections", fmt.Sprint(most)),
		pglab.Conf("superuser_reserved_connections", fmt.Sprint(reserved)))
	m, err := lab.Master(ctx, "m")
	must(t, err)
	s1, err := lab.Slave(ctx, "s1", m)
	must(t, err)
	w := newWatch(t, conf{"connection_lifetime": 1}, nodesOf(m, s1)...)
	w.start()
	w.Expect("plusmoin_up 0")
	for range most - reserved {
		session(t, m, `SELECT pg_sleep(600)`)
	}
	w.UntilReason("m", cluster.ReasonTooMany)
	w.Quiet(6)
	w.Shows("0: m > s1")
	w.UntilDiagnosis(0, cluster.OK)
	endSessions(t, m, "pg_sleep")
	w.UntilReason("m", "")
	w.stop()
}

func TestLockedTableIsAnUnwritableMaster(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	session(t, servers[0], `BEGIN; LOCK TABLE heartbeat IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)`)
	w.Expect("master_down 0 m")
	w.UntilReason("m", cluster.ReasonUnwritable)
	if text := w.Detail("m").Error; text == nil || !strings.Contains(*text, "lock") {
		t.Errorf("the error of m is %v, want it to speak of the lock", text)
	}
	// Once the lock is replayed the slave cannot read its row either. The
	// commit flushes the lock, which waits in the buffers of the master.
	query(t, servers[0], `CREATE TABLE flush()`)
	w.Expect("slave_down 0 s1")
	w.Quiet(4)
	endSessions(t, servers[0], "pg_sleep")
	w.Expect("master_up 0 m", "slave_up 0 s1")
	w.stop()
}

func TestPausedReplayIsLagAndTheMastersDeathIsNoReasonToComeUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "s2")
	m, s1, s2 := servers[0], servers[1], servers[2]
	w := newWatch(t, conf{"max_sync_delay": 2, "recover_sync_delay": 1}, nodesOf(m, s1, s2)...)
	w.start()
	w.Expect("plusmoin_up 0")

	must(t, s2.PauseReplay(ctx))
	w.Expect("slave_down 0 s2")
	w.UntilReason("s2", cluster.ReasonLag)
	if d := w.Detail("s2"); d.ReplayPaused != cluster.Yes || d.Lag == nil || *d.Lag <= 2 {
		t.Errorf("s2 is %+v, want its replay paused and a lag above 2 s", d)
	}
	w.UntilDiagnosis(0, cluster.OK)
	must(t, s2.ResumeReplay(ctx))
	w.Expect("slave_up 0 s2")

	must(t, s1.PauseReplay(ctx))
	must(t, s2.PauseReplay(ctx))
	w.Expect("slave_down 0 s1", "slave_down 0 s2")
	w.UntilDiagnosis(0, cluster.NoSlavesInSync)
	must(t, s1.ResumeReplay(ctx))
	w.Expect("slave_up 0 s1")
	must(t, m.Kill(ctx))
	w.Expect("master_down 0 m")
	w.Quiet(10)
	w.Shows("0: > s1 (m) (s2)")
	must(t, s1.Promote(ctx))
	w.Expect("master_up 0 s1")
	w.Quiet(6)
	w.Shows("0: s1 > (m) (s2)")
	w.stop()
}

func TestSecondWriterIsToldOnceAndMovesNobody(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, conf{"log_level": "error"}, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	session(t, servers[0], `DO $$ BEGIN LOOP
		UPDATE heartbeat SET cluster_id = 7, master = 'other:5432', tstamp = extract(epoch FROM clock_timestamp());
		COMMIT;
		PERFORM pg_sleep(0.02);
	END LOOP; END $$`)
	w.Until("a second writer", func(d status.Document) bool {
		return slices.ContainsFunc(d.Warnings, func(w cluster.Warning) bool { return w.Kind == cluster.SecondWriter })
	})
	w.Until("the lag of s1 unknown", func(d status.Document) bool { return d.Nodes[w.Address("s1")].Lag == nil })
	w.Quiet(12) // longer than max_sync_delay
	w.Shows("0: m > s1")
	endSessions(t, servers[0], "heartbeat")
	w.Until("the lag of s1 known again", func(d status.Document) bool { return d.Nodes[w.Address("s1")].Lag != nil })
	if n := strings.Count(w.log(), "other:5432"); n != 1 {
		t.Errorf("the log speaks %d times of the second writer, want once", n)
	}
	w.stop()
}

// The original's table, owned by somebody who does not let plusmoin alter it.
func TestWholeSecondsSuffice(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	m, s1 := servers[0], servers[1]
	query(t, m, `CREATE TABLE heartbeat(cluster_id INT, master TEXT, tstamp BIGINT);
		INSERT INTO heartbeat VALUES (-1, '-', 0); GRANT SELECT, UPDATE ON heartbeat TO plusmoin`)
	w := newWatch(t, conf{"max_sync_delay": 3, "recover_sync_delay": 1}, nodesOf(m, s1)...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.Shows("0: m > s1")
	began := time.Now()
	w.Poll(func() bool { return time.Since(began) > 10*time.Second })
	w.Quiet(1)
	if columns := query(t, m, `SELECT count(*) FROM information_schema.columns WHERE table_name = 'heartbeat'`); columns != "3" {
		t.Fatalf("the table has %s columns; the story has proved nothing", columns)
	}
	must(t, s1.PauseReplay(ctx))
	w.Expect("slave_down 0 s1")
	w.UntilReason("s1", cluster.ReasonLag)
	must(t, s1.ResumeReplay(ctx))
	w.Expect("slave_up 0 s1")
	w.stop()
}
