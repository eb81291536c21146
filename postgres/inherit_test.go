package postgres

import (
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// hostileSettings are those of a role that could harm a look or a beat.
var hostileSettings = []string{
	"default_transaction_isolation = serializable", "default_transaction_deferrable = on",
	"row_security = off", "standard_conforming_strings = off", "search_path = ''",
	"DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard", "TimeZone = 'Asia/Kathmandu'",
	"extra_float_digits = -15", "bytea_output = escape",
	"idle_in_transaction_session_timeout = 1", "idle_session_timeout = 50", "statement_timeout = 1", "lock_timeout = 1",
	"default_tablespace = pg_global", "default_table_access_method = stub", "client_min_messages = debug5",
	"jit_above_cost = 0", "jit_optimize_above_cost = 0", "jit_inline_above_cost = 0",
	"force_parallel_mode = on", "parallel_setup_cost = 0", "parallel_tuple_cost = 0", "min_parallel_table_scan_size = 0",
	"plan_cache_mode = force_generic_plan", "enable_seqscan = off", "transform_null_equals = on", "array_nulls = off",
	"synchronous_commit = remote_apply", "lc_messages = 'C'", "log_statement = 'none'",
}

// No setting of a role changes what is seen and written, nor for how long a
// session lasts.
func TestHostileSettings(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	m, s := nodeOf(servers[0]), nodeOf(servers[1])
	// Of an access method only the name must be there.
	sql(t, servers[0], "CREATE ACCESS METHOD stub TYPE TABLE HANDLER heap_tableam_handler")
	for _, setting := range hostileSettings {
		sql(t, servers[0], "ALTER ROLE plusmoin SET "+setting)
	}
	sql(t, servers[0], "ALTER ROLE plusmoin SET synchronous_commit = remote_apply")
	must(t, servers[0].SetConf(t.Context(), "synchronous_standby_names", "nobody"))
	must(t, servers[1].CatchUp(t.Context()))
	f := openFleet(t, labSettings())
	nodes := []cluster.Node{m, s}
	until(t, func() bool {
		seen := f.Look(t.Context(), nodes, nil)
		return answered(seen[m]) && answered(seen[s])
	}, func() { t.Log(f.Look(t.Context(), nodes, nil)) })
	began := time.Now()
	for i := 1; time.Since(began) < 300*time.Millisecond; i++ {
		confirmed(t, sendBeat(t, f, beatOf(3, m, cluster.Stamp(i)*1_000_001)))
		seen := f.Look(t.Context(), nodes, nil)
		if !answered(seen[m]) || !answered(seen[s]) || !seen[s].Slave || seen[s].Facts.SystemID == 0 || seen[m].Facts.LSN == 0 ||
			seen[m].Row == nil || seen[m].Row.Stamp != cluster.Stamp(i)*1_000_001 {
			t.Fatalf("%+v", seen)
		}
		<-time.After(60 * time.Millisecond) // longer than the role's idle_session_timeout
	}
	if len(f.Dropped()) > 0 {
		t.Error("a session was ended")
	}
	if got := sql(t, servers[0], "SELECT relname, amname, reltablespace FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname = 'heartbeat'"); got != "heartbeat|heap|0" {
		t.Errorf("the table is %s", got)
	}
}

// The table is found where the role has it, whatever the search_path, and nothing
// of the same name that stands before PostgreSQL's own is used.
func TestSearchPath(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	const elsewhere = `CREATE SCHEMA "App ""1""" AUTHORIZATION plusmoin; `
	const traps = `CREATE FUNCTION public.count(int) RETURNS bigint LANGUAGE sql AS 'SELECT 1/0';
CREATE FUNCTION public.to_jsonb(public.heartbeat) RETURNS jsonb LANGUAGE sql AS 'SELECT (1/0)::text::jsonb';
CREATE FUNCTION public.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql AS 'SELECT now() + (1/0) * interval ''1 s''';
CREATE FUNCTION public.trap(bigint, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR public.= (LEFTARG = bigint, RIGHTARG = int, FUNCTION = public.trap);
CREATE FUNCTION public.trap(jsonb, text) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE OPERATOR public.-> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = public.trap);
CREATE TYPE public.text AS ENUM ('x'); `
	table := func(schema string) string {
		return strings.ReplaceAll(threeColumns+firstRow+"ALTER TABLE heartbeat OWNER TO plusmoin; ", "heartbeat", schema+".heartbeat")
	}
	for _, c := range []struct{ name, prepare, path, want string }{
		{"empty, no table", "", `''`, "public"},
		{"empty, table in public", table("public"), `''`, "public"},
		{"schema of the role", "CREATE SCHEMA plusmoin AUTHORIZATION plusmoin; ", `"$user", public`, "plusmoin"},
		{"table in public behind a schema of the role", "CREATE SCHEMA plusmoin AUTHORIZATION plusmoin; " + table("public"), `"$user", public`, "public"},
		{"odd name", elsewhere + table(`"App ""1"""`), `"App ""1""", public`, `"App ""1"""`},
		{"odd name, no table", elsewhere, `"App ""1""", public`, `"App ""1"""`},
		{"pg_catalog first", table("public"), `pg_catalog, public`, "public"},
		{"pg_catalog first, no table", "", `pg_catalog, public`, "public"},
		{"traps", table("public") + traps, `public, pg_catalog`, "public"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sql(t, server, `DROP SCHEMA IF EXISTS plusmoin, "App ""1""" CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION plusmoin; `+
				c.prepare+"ALTER ROLE plusmoin SET search_path = "+c.path)
			f := openFleet(t, labSettings())
			for i := 1; i < 4; i++ {
				seen := lookAt(t, f, n)
				if !answered(seen) || i > 1 && (seen.Row == nil || seen.Row.Stamp != cluster.Stamp(i-1)*1_000_001) {
					t.Fatalf("look %d: %+v %+v", i, seen, seen.Row)
				}
				confirmed(t, sendBeat(t, f, beatOf(7, n, cluster.Stamp(i)*1_000_001)))
			}
			got := sql(t, server, "SET search_path = pg_catalog; SELECT string_agg(quote_ident(nspname), ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'heartbeat'")
			if got != c.want {
				t.Errorf("the table is in %s, want %s", got, c.want)
			}
		})
	}
}

// What is the user's own is found by the search_path of the role.
func TestRoleStatementHasTheSearchPath(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	sql(t, server, `CREATE SCHEMA own; GRANT USAGE ON SCHEMA own TO plusmoin;
CREATE FUNCTION own.slave() RETURNS boolean LANGUAGE sql AS 'SELECT true'; ALTER ROLE plusmoin SET search_path = own`)
	f := openFleet(t, with(func(s *Settings) { s.IsSlaveStatement = "SELECT slave()" }))
	if seen := lookAt(t, f, nodeOf(server)); !answered(seen) || !seen.Slave {
		t.Errorf("%+v", seen)
	}
}

// A publication of all tables refuses updates of one without a replica identity.
func TestPublicationOfAllTables(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t, pglab.Conf("wal_level", "logical"))
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	sql(t, server, "CREATE PUBLICATION everything FOR ALL TABLES")
	f := openFleet(t, labSettings())
	for i := range 3 {
		lookUntil(t, f, n, answered)
		confirmed(t, sendBeat(t, f, beatOf(1, n, cluster.Stamp(i+1))))
	}
	sql(t, server, noTable+threeColumns+firstRow+"ALTER TABLE heartbeat OWNER TO plusmoin")
	lookUntil(t, f, n, answered)
	sent := sendBeat(t, f, beatOf(1, n, 9))
	if sent.Reason != cluster.ReasonMisconfigured || sent.Verdict != cluster.Refused || !strings.Contains(sent.Error, "REPLICA IDENTITY FULL") {
		t.Errorf("%+v", sent)
	}
	sql(t, server, "ALTER TABLE heartbeat REPLICA IDENTITY FULL")
	confirmed(t, sendBeat(t, f, beatOf(1, n, 10)))
}

// A row that is hidden is no missing row: no others are added to it.
func TestHiddenRow(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	sql(t, server, threeColumns+firstRow+`GRANT ALL ON heartbeat TO plusmoin; ALTER TABLE heartbeat ENABLE ROW LEVEL SECURITY;
ALTER ROLE plusmoin SET row_security = off; -- an error even where nothing is hidden
CREATE POLICY p ON heartbeat USING (false) WITH CHECK (true)`)
	f := openFleet(t, labSettings())
	for range 3 {
		lookUntil(t, f, n, answered)
		if sent := sendBeat(t, f, beatOf(1, n, 9)); sent.Reason != cluster.ReasonMisconfigured || sent.Verdict != cluster.Refused {
			t.Fatalf("%+v", sent)
		}
	}
	if got := sql(t, server, "SELECT count(*) FROM heartbeat"); got != "1" {
		t.Errorf("%s rows", got)
	}
	sql(t, server, "DROP POLICY p ON heartbeat; CREATE POLICY p ON heartbeat USING (true)")
	lookUntil(t, f, n, answered)
	confirmed(t, sendBeat(t, f, beatOf(1, n, 10)))
}

// A table that somebody makes elsewhere, while a session lasts that found none, is
// found, and no second one is made.
func TestTableMadeElsewhere(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, labSettings())
	lookUntil(t, f, n, answered)
	sql(t, server, "CREATE SCHEMA plusmoin; GRANT USAGE ON SCHEMA plusmoin TO plusmoin; "+
		strings.ReplaceAll(threeColumns+firstRow+"GRANT ALL ON heartbeat TO plusmoin", "heartbeat", "plusmoin.heartbeat"))
	confirmed(t, sendBeat(t, f, beatOf(4, n, 1_000_000)))
	if seen := lookAt(t, f, n); seen.Row == nil || seen.Row.Cluster != 4 {
		t.Errorf("%+v", seen)
	}
	if got := sql(t, server, "SELECT count(*) FROM pg_class WHERE relname = 'heartbeat'"); got != "1" {
		t.Errorf("%s tables", got)
	}
}
