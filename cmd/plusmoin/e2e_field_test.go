//go:build linux

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/status"
)

// These are situations that DBAs meet. In each a server that lives is not called
// dead, and nobody is led to a wrong one.

// neverSays lets d pass and wants none of the words to be said of a cluster.
func neverSays(w *watch, id int, d time.Duration, words ...cluster.Diagnosis) {
	w.t.Helper()
	began := time.Now()
	w.Poll(func() bool {
		for _, c := range w.Status().Clusters {
			if c.ID == id && slices.Contains(words, c.Diagnosis) {
				w.t.Fatalf("cluster %d is %s", id, c.Diagnosis)
			}
		}
		return time.Since(began) > d
	})
}

// dead are the words that say of a master that it is gone.
var dead = []cluster.Diagnosis{cluster.DeadMaster, cluster.DeadMasterAndSlaves, cluster.MonitorIsolated}

// everybody lets everybody in who knows a password, as the lab does at first.
const everybody = "host all all 127.0.0.0/8 scram-sha-256"

// end ends plusmoin in order, whatever else it may have told.
func end(w *watch) {
	w.t.Helper()
	w.signal(syscall.SIGTERM)
	if err := <-w.ended; err != nil {
		w.t.Errorf("plusmoin after SIGTERM: %v", err)
	}
	w.process = nil
}

// restartSettled kills plusmoin and starts it anew.
func restartSettled(w *watch) {
	w.t.Helper()
	w.kill()
	settle(w)
}

// settle starts plusmoin and waits until the start has settled.
func settle(w *watch) {
	w.t.Helper()
	began := time.Now()
	w.start()
	w.Until("a settled start", func(d status.Document) bool { return d.State == status.Running && d.UpdatedAt.After(began) })
}

// endOurs ends plusmoin's own sessions on a server.
func endOurs(t *testing.T, s *pglab.Server) {
	t.Helper()
	query(t, s, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plusmoin'`)
}

func TestMasterThatRefusesPlusmoinIsNotDead(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	query(t, servers[0], `GRANT pg_read_all_stats TO plusmoin`)
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[0].SetHBA(t.Context(), "host plusmoin plusmoin 127.0.0.1/32 reject"))
	endOurs(t, servers[0])
	w.Expect("master_down 0 m")
	if got := w.Last().Diagnosis; got != cluster.RefusingMaster {
		t.Errorf("the diagnosis told with the event is %q, want %q", got, cluster.RefusingMaster)
	}
	w.UntilReason("m", cluster.ReasonAuth)
	neverSays(w, 0, 3*time.Second, dead...)
	evidence := w.Status().Clusters[0].Evidence
	if evidence == nil || evidence.LastWord == nil || !strings.HasPrefix(*evidence.LastWord, "auth: ") {
		t.Errorf("the evidence is %+v, want the server's own last word", evidence)
	}
	must(t, servers[0].SetHBA(t.Context(), everybody))
	w.Expect("master_up 0 m")
	w.stop()
}

// All connections are taken, and plusmoin has lost its own.
func TestMasterWithoutAConnectionForPlusmoinIsNotDead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const most, reserved = 12, 3
	lab := pglab.New(t, pglab.Conf("max_connections", fmt.Sprint(most)),
		pglab.Conf("superuser_reserved_connections", fmt.Sprint(reserved)))
	m, err := lab.Master(ctx, "m")
	must(t, err)
	s1, err := lab.Slave(ctx, "s1", m)
	must(t, err)
	w := newWatch(t, nil, nodesOf(m, s1)...)
	w.start()
	w.Expect("plusmoin_up 0")
	query(t, m, `ALTER ROLE plusmoin CONNECTION LIMIT 0`)
	endOurs(t, m)
	w.Expect("master_down 0 m")
	w.UntilReason("m", cluster.ReasonTooMany)
	w.UntilDiagnosis(0, cluster.RefusingMaster)
	neverSays(w, 0, 3*time.Second, dead...)
	query(t, m, `ALTER ROLE plusmoin CONNECTION LIMIT -1`)
	w.Expect("master_up 0 m")
	w.stop()
}

// What becomes of the table is no word on the servers.
func TestSpoiltTableIsMisconfiguredAndNobodyIsDead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ spoil, mend string }{
		"a second row":       {`INSERT INTO heartbeat SELECT * FROM heartbeat`, `DELETE FROM heartbeat WHERE ctid NOT IN (SELECT min(ctid) FROM heartbeat)`},
		"no right to it":     {`ALTER TABLE heartbeat OWNER TO postgres; REVOKE ALL ON heartbeat FROM plusmoin, PUBLIC`, `ALTER TABLE heartbeat OWNER TO plusmoin`},
		"remade with others": {`DROP TABLE heartbeat; CREATE TABLE heartbeat(beat INT); GRANT ALL ON heartbeat TO plusmoin; INSERT INTO heartbeat VALUES (1)`, `DROP TABLE heartbeat`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := cast(t, pglab.New(t), "m", "s1")
			w := newWatch(t, nil, nodesOf(servers...)...)
			w.start()
			w.Expect("plusmoin_up 0")
			query(t, servers[0], c.spoil)
			w.UntilReason("m", cluster.ReasonMisconfigured)
			neverSays(w, 0, 5*time.Second, append(dead, cluster.SplitBrain)...)
			query(t, servers[0], c.mend)
			w.Until("all in order", func(d status.Document) bool {
				return w.Picture(d) == "0: m > s1" && d.Clusters[0].Diagnosis == cluster.OK
			})
			end(w) // what was told in between depends on the moment
		})
	}
}

// A truncated table, or one whose database was made anew, is filled again: it is
// the same server.
func TestEmptiedTableIsFilledAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"truncated": `TRUNCATE heartbeat`,
		"dropped":   `DROP TABLE heartbeat`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := cast(t, pglab.New(t), "m", "s1")
			w := newWatch(t, nil, nodesOf(servers...)...)
			w.start()
			w.Expect("plusmoin_up 0")
			query(t, servers[0], spoil)
			w.Quiet(8)
			w.Shows("0: m > s1")
			w.UntilDiagnosis(0, cluster.OK)
			w.stop()
		})
	}
}

// Last night's dump is restored over the table.
func TestRestoredDumpIsOverwritten(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	dump := query(t, servers[0], `SELECT format('INSERT INTO heartbeat(cluster_id, master, tstamp) VALUES (%s, %L, %s)', cluster_id, master, tstamp - 86400) FROM heartbeat`)
	query(t, servers[0], `BEGIN; TRUNCATE heartbeat; `+dump+`; COMMIT`)
	w.Quiet(8)
	w.Shows("0: m > s1")
	for _, warning := range w.Status().Warnings {
		if warning.Kind != cluster.SecondWriter {
			t.Errorf("a warning %+v", warning)
		}
	}
	w.stop()
}

func TestMasterWrittenAnotherWayKeepsItsCluster(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.configure(nil, node{name: "m again", host: "localhost", port: servers[0].Port()}, nodesOf(servers[1])[0])
	w.signal(syscall.SIGHUP)
	w.Expect("node_left 0 m", "node_joined 0 m again", "master_up 0 m again")
	w.Quiet(4)
	w.Shows("0: m again > s1")
	w.stop()
}

// An idle master freezes: its slave says that it streams, and nothing comes. Only
// when its receiver gives up is the master dead.
func TestFrozenMasterIsUnconfirmedUntilItsSlavesAreCut(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t, pglab.Conf("wal_receiver_timeout", "8s")), "m", "s1")
	query(t, servers[0], `GRANT pg_read_all_stats TO plusmoin`)
	must(t, servers[1].CatchUp(ctx))
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.Until("who s1 follows", func(d status.Document) bool { return d.Nodes[w.Address("s1")].Upstream != nil })
	must(t, servers[0].Freeze())
	w.Expect("master_down 0 m")
	if got := w.Last(); got.Diagnosis != cluster.UnconfirmedMaster || !slices.Equal(got.Evidence.Silent, []string{w.Address("s1")}) {
		t.Errorf("told with %q and %+v, want %q and a silent s1", got.Diagnosis, got.Evidence, cluster.UnconfirmedMaster)
	}
	w.UntilDiagnosis(0, cluster.DeadMaster)
	if got := w.Status().Clusters[0].Evidence; !slices.Equal(got.Cut, []string{w.Address("s1")}) {
		t.Errorf("the evidence is %+v, want s1 cut", got)
	}
	w.stop()
}

// A stale master that splits off says so to every trigger.
func TestSplitOffClusterNamesTheOneItLeft(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[0].Kill(ctx))
	w.Expect("master_down 0 m")
	must(t, servers[1].Promote(ctx))
	w.Expect("master_up 0 s1")
	must(t, servers[0].Start(ctx))
	w.Expect("node_left 0 m", "cluster_split 1 m")
	if got := w.Last(); got.SplitFrom == nil || *got.SplitFrom != 0 || got.Diagnosis != cluster.SplitOff {
		t.Errorf("cluster_split says %q, split from %v", got.Diagnosis, got.SplitFrom)
	}
	w.UntilDiagnosis(0, cluster.SplitBrain)
	w.UntilDiagnosis(1, cluster.SplitOff)
	w.stop()
}

// With state_dir a restart is a suspension: a slave whose replay stands keeps its
// place, and what split off is known to have.
func TestRestartWithAStateFileIsASuspension(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "s2")
	w := newWatch(t, conf{"state_dir": t.TempDir(), "max_sync_delay": 60, "recover_sync_delay": 30}, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[0].Kill(ctx))
	w.Expect("master_down 0 m")
	must(t, servers[1].Promote(ctx))
	must(t, servers[2].Follow(ctx, servers[1]))
	w.Expect("master_up 0 s1")
	must(t, servers[0].Start(ctx))
	w.Expect("node_left 0 m", "cluster_split 1 m")
	must(t, servers[2].PauseReplay(ctx))
	began := time.Now()
	w.Poll(func() bool { return time.Since(began) > 3*time.Second })
	w.Shows("0: s1 > s2; 1: m >")
	w.kill()
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	w.Quiet(6)
	w.Shows("0: s1 > s2; 1: m >")
	w.UntilDiagnosis(1, cluster.SplitOff)
	w.stop()
}

// A promoted copy with another label stands beside production; made anew it keeps
// its own id, and never gets production's.
func TestLabelledCopyIsAnotherCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "copy")
	nodes := nodesOf(servers...)
	for i, label := range []string{"production", "production", "staging"} {
		nodes[i].own = conf{"cluster_name": label}
	}
	w := newWatch(t, nil, nodes...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, servers[2].Promote(ctx))
	w.Expect("node_left 0 copy", "cluster_split 1 copy")
	w.UntilDiagnosis(0, cluster.OK)
	w.UntilDiagnosis(1, cluster.OK)

	must(t, servers[2].Stop(ctx))
	w.Expect("master_down 1 copy")
	must(t, servers[2].Copy(ctx, servers[0]))
	w.Expect("master_up 1 copy")
	w.Quiet(4)
	w.Shows("0: m > s1; 1: copy >")

	// While production's master is down, no restart gives its id to the copy.
	must(t, servers[2].Stop(ctx))
	w.Expect("master_down 1 copy")
	must(t, servers[2].Copy(ctx, servers[0]))
	must(t, servers[0].Kill(ctx))
	restartSettled(w)
	for _, c := range w.Status().Clusters {
		if c.Name == "production" && (c.ID != 0 || c.HasMaster) {
			t.Errorf("production is %+v", c)
		}
		if c.Master != nil && c.ID == 0 {
			t.Errorf("production's id has the master %+v", c.Master)
		}
	}
	end(w)
}

// pg_upgrade leaves another system with the same row under the same name.
func TestUpgradedMasterKeepsItsCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	m := servers[0]
	w := newWatch(t, nil, nodesOf(servers...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, m.SetHBA(ctx, "host plusmoin plusmoin 127.0.0.1/32 reject"))
	endOurs(t, m)
	w.Expect("master_down 0 m")
	row := query(t, m, `SELECT format('INSERT INTO heartbeat VALUES (%s, %L, %s, %s)', cluster_id, master, tstamp, tstamp_us) FROM heartbeat`)
	must(t, m.Reinit(ctx))
	query(t, m, `CREATE TABLE heartbeat(cluster_id INT, master TEXT, tstamp BIGINT, tstamp_us INT); `+row+
		`; ALTER TABLE heartbeat OWNER TO plusmoin`)
	must(t, m.SetHBA(ctx, everybody))
	w.Expect("master_up 0 m", "slave_down 0 s1")
	w.UntilReason("s1", cluster.ReasonOtherSystem)
	w.Quiet(4)
	w.Shows("0: m > (s1)")
	w.stop()
}

// A dump of production is restored elsewhere, and plusmoin restarts while
// production's master is down: the other server never gets production's id.
func TestRestoredElsewhereNeverIsProduction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := pglab.New(t)
	servers := cast(t, lab, "m", "s1")
	x, err := lab.Master(ctx, "x")
	must(t, err)
	w := newWatch(t, nil, append(nodesOf(servers...), nodesOf(x)...)...)
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	row := query(t, servers[0], `SELECT format('cluster_id = %s, master = %L, tstamp = %s, tstamp_us = %s', cluster_id, master, tstamp, tstamp_us) FROM heartbeat`)
	must(t, servers[0].Kill(ctx))
	w.Expect("master_down 0 m")
	w.kill()
	query(t, x, `UPDATE heartbeat SET `+row)
	settle(w)
	if got := w.Picture(w.Status()); !strings.HasPrefix(got, "0: > s1 (m); ") || !strings.HasSuffix(got, ": x >") {
		t.Errorf("%s, want 0 without a master and x with an id of its own", got)
	}
	end(w)
}
