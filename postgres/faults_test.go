package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

const (
	threeColumns = "CREATE TABLE heartbeat(cluster_id INT, master TEXT, tstamp BIGINT); "
	firstRow     = "INSERT INTO heartbeat VALUES (-1, '-', 0); "
	noTable      = "DROP TABLE IF EXISTS heartbeat CASCADE; "
)

// What is wrong with the table of a master that is otherwise well.
func TestTables(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	owned := "ALTER TABLE heartbeat OWNER TO plusmoin; "
	granted := "ALTER TABLE heartbeat OWNER TO postgres; GRANT SELECT, UPDATE ON heartbeat TO plusmoin; "
	for _, c := range []struct {
		name, prepare string
		look, beat    cluster.Reason
		rows          string // afterwards, as id|stamp|micros
	}{
		{"no table", "", "", "", "5|9|8"},
		{"no row", threeColumns + owned, "", "", "5|9|8"},
		{"three columns", threeColumns + firstRow + owned, "", "", "5|9|8"},
		{"three columns for good", threeColumns + firstRow + granted, "", "", "5|9|"},
		{"ten rows", threeColumns + strings.Repeat(firstRow, 10) + owned, cluster.ReasonMisconfigured, cluster.ReasonMisconfigured,
			strings.TrimSuffix(strings.Repeat("-1|0|\n", 10), "\n")},
		{"nulls", threeColumns + "INSERT INTO heartbeat VALUES (1, null, 0);" + owned, cluster.ReasonMisconfigured, "", "5|9|8"},
		{"numbers that are texts", "CREATE TABLE heartbeat(cluster_id TEXT, master TEXT, tstamp TEXT); INSERT INTO heartbeat VALUES ('1', 'm:1', '7');" + owned,
			cluster.ReasonMisconfigured, "", "5|9|8"},
		{"no right to read", threeColumns + firstRow + "ALTER TABLE heartbeat OWNER TO postgres;",
			cluster.ReasonMisconfigured, cluster.ReasonMisconfigured, "-1|0|"},
		{"no right to write", threeColumns + firstRow + "ALTER TABLE heartbeat OWNER TO postgres; GRANT SELECT ON heartbeat TO plusmoin;",
			"", cluster.ReasonMisconfigured, "-1|0|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sql(t, server, noTable+c.prepare)
			f := openFleet(t, labSettings())
			seen := lookUntil(t, f, n, func(s cluster.Sighting) bool { return s.Outcome != cluster.Connecting })
			if seen.Reason != c.look || answered(seen) != (c.look == "") {
				t.Fatalf("look: %+v", seen)
			}
			sent := sendBeat(t, f, beatOf(5, n, 9_000_008))
			if sent.Reason != c.beat || (sent.Verdict == cluster.Confirmed) != (c.beat == "") || sent.Verdict == cluster.Unknown {
				t.Errorf("beat: %+v", sent)
			}
			got := sql(t, server, "SELECT cluster_id, tstamp, to_jsonb(h)->>'tstamp_us' FROM heartbeat h")
			if got != c.rows {
				t.Errorf("table holds %q, want %q", got, c.rows)
			}
			if c.beat == "" { // a second beat is sent with the same statements, now prepared
				confirmed(t, sendBeat(t, f, beatOf(6, n, 10_000_000)))
			}
		})
	}
}

func TestMasterThatCannotWrite(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, labSettings())
	lookUntil(t, f, n, answered)
	confirmed(t, sendBeat(t, f, beatOf(1, n, 1)))

	must(t, server.SetConf(t.Context(), "synchronous_standby_names", "nobody"))
	lookUntil(t, f, n, func(s cluster.Sighting) bool { return s.Facts.SyncBlocked == cluster.Yes })
	confirmed(t, sendBeat(t, f, beatOf(1, n, 2)))
	must(t, server.SetConf(t.Context(), "synchronous_standby_names", ""))

	must(t, server.SetConf(t.Context(), "default_transaction_read_only", "on"))
	var sent cluster.BeatOutcome
	until(t, func() bool {
		sent = sendBeat(t, f, beatOf(1, n, 3))
		return sent.Verdict == cluster.Refused
	}, func() { t.Log(sent) })
	if sent.Reason != cluster.ReasonUnwritable {
		t.Errorf("read-only: %+v", sent)
	}
	if seen := lookAt(t, f, n); !answered(seen) {
		t.Errorf("a node that refuses its beat still answers: %+v", seen)
	}
	must(t, server.SetConf(t.Context(), "default_transaction_read_only", "off"))

	locked := make(chan struct{})
	go func() {
		defer close(locked)
		_, _ = server.SQL(t.Context(), "BEGIN; LOCK TABLE heartbeat; SELECT pg_sleep(60)") // ended below
	}()
	lookUntil(t, f, n, because(cluster.ReasonUnwritable))
	sql(t, server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()")
	<-locked
	lookUntil(t, f, n, answered)
	confirmed(t, sendBeat(t, f, beatOf(1, n, 4)))
}

func TestKeptConnectionIsLost(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, labSettings())
	lookUntil(t, f, n, answered)

	sql(t, server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plusmoin'")
	dropped(t, f)
	if seen := lookAt(t, f, n); !answered(seen) {
		t.Fatalf("after a terminated session: %+v", seen)
	}
	must(t, server.Restart(t.Context()))
	dropped(t, f)
	if seen := lookAt(t, f, n); !answered(seen) {
		t.Fatalf("after a restart: %+v", seen)
	}
	must(t, server.Freeze())
	if seen := lookAt(t, f, n); !because(cluster.ReasonTimeout)(seen) {
		t.Fatalf("frozen: %+v", seen)
	}
	if sent := sendBeat(t, f, beatOf(1, n, 1)); sent.Verdict == cluster.Confirmed {
		t.Errorf("beat on a frozen server: %+v", sent)
	}
	must(t, server.Thaw())
	lookUntil(t, f, n, answered)
	must(t, server.Freeze())
	if sent := sendBeat(t, f, beatOf(1, n, 1)); sent.Verdict != cluster.Unknown || sent.Reason != cluster.ReasonTimeout {
		t.Errorf("beat on a server just frozen: %+v", sent)
	}
	must(t, server.Thaw())
}

func TestNotAccepting(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	must(t, servers[1].SetConf(t.Context(), "hot_standby", "off"))
	must(t, servers[1].Restart(t.Context()))
	f := openFleet(t, labSettings())
	lookUntil(t, f, nodeOf(servers[1]), because(cluster.ReasonNotAccepting))
}

func TestConnectionsExhausted(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t, pglab.Conf("max_connections", "8"), pglab.Conf("superuser_reserved_connections", "5"), pglab.Conf("max_wal_senders", "0"))
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, with(func(s *Settings) { s.ConnectionLifetime = 20 * time.Millisecond }))
	lookUntil(t, f, n, answered)
	others := []*Fleet{openFleet(t, labSettings()), openFleet(t, labSettings())}
	var full cluster.Sighting
	until(t, func() bool {
		for _, other := range others { // a renewal may have been quicker
			other.Look(t.Context(), []cluster.Node{n}, nil)
		}
		full = lookAt(t, f, n)
		return full.Reason == cluster.ReasonTooMany
	}, func() { t.Logf("last seen: %+v", full) })
	if !answered(full) || full.Error == "" {
		t.Errorf("kept connection: %+v", full)
	}
	fresh := openFleet(t, labSettings())
	lookUntil(t, fresh, n, because(cluster.ReasonTooMany))
}

// An open session holds up a smart shutdown until its renewal is refused.
func TestSmartShutdown(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, with(func(s *Settings) { s.ConnectionLifetime = 3 * time.Second }))
	lookUntil(t, f, n, answered)
	ended := make(chan error, 1)
	go func() { ended <- pgCtlStop(server, "smart") }()
	var fresh cluster.Sighting
	until(t, func() bool {
		f := openFleet(t, labSettings())
		defer f.Close()
		fresh = lookAt(t, f, n)
		return because(cluster.ReasonShuttingDown)(fresh)
	}, func() { t.Logf("last seen: %+v", fresh) })
	if seen := lookAt(t, f, n); !answered(seen) {
		t.Errorf("the kept connection goes on: %+v", seen)
	}
	dropped(t, f)
	must(t, <-ended)
	lookUntil(t, f, n, because(cluster.ReasonRefused))
}

// pgCtlStop stops a server as an operator does, and waits for its end.
func pgCtlStop(s *pglab.Server, mode string) error {
	out, err := s.SQL(context.Background(), "SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'")
	if err != nil {
		return err
	}
	bin, data, _ := strings.Cut(out, "|")
	args := []string{bin + "/pg_ctl", "stop", "-m", mode, "-t", "20", "-D", data}
	if os.Geteuid() == 0 { // it does not work for root
		args = append([]string{"setpriv", "--reuid=postgres", "--clear-groups"}, args...)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl stop: %w: %s", err, out)
	}
	return nil
}

func TestReconfigure(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	wrongPassword := with(func(s *Settings) { s.Password = "not it" })
	f := openFleet(t, wrongPassword)
	lookUntil(t, f, n, because(cluster.ReasonAuth))
	must(t, f.Reconfigure(labSettings()))
	lookUntil(t, f, n, answered)
	must(t, f.Reconfigure(wrongPassword))
	warned := lookUntil(t, f, n, func(s cluster.Sighting) bool { return s.Reason == cluster.ReasonAuth })
	if !answered(warned) {
		t.Errorf("the old connection is not kept: %+v", warned)
	}
	must(t, f.Reconfigure(with(func(s *Settings) { s.IsSlaveStatement = "SELECT true" })))
	lookUntil(t, f, n, func(s cluster.Sighting) bool { return s.Slave && s.Reason == "" })
	if err := f.Reconfigure(Settings{}); err == nil {
		t.Error("settings without a timeout were taken")
	}
}
