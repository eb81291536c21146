//go:build linux

package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"plusmoin/internal/pglab"
)

// letDaemonIn lets daemon_user use the files of a watch, where root runs the tests.
func (w *watch) letDaemonIn() {
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	for dir := w.place; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(w.t, os.Chmod(dir, 0o755))
	}
	for _, path := range []string{w.dir, w.place, w.configFile()} {
		must(w.t, os.Chown(path, nobody, nobody))
	}
}

// obstacles keep beats out of a table that looks well, or may.
func obstacles() []spoilt {
	const theirs = "ALTER TABLE heartbeat OWNER TO postgres; GRANT SELECT, UPDATE, INSERT ON heartbeat TO plusmoin; "
	return []spoilt{
		{name: "schema that is gone", spoil: "DROP SCHEMA public CASCADE", mark: "PROBLEM", words: "no schema public to make it in",
			paste: "CREATE SCHEMA public;\nGRANT USAGE, CREATE ON SCHEMA public TO plusmoin;",
			undo:  "ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC; REVOKE ALL ON SCHEMA public FROM plusmoin"},
		{name: "empty search_path", spoil: "ALTER ROLE plusmoin SET search_path = ''; DROP SCHEMA public CASCADE", mark: "PROBLEM", words: "no schema public to make it in",
			paste: "CREATE SCHEMA public;\nGRANT USAGE, CREATE ON SCHEMA public TO plusmoin;",
			undo: "ALTER SCHEMA public OWNER TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC; REVOKE ALL ON SCHEMA public FROM plusmoin; " +
				"ALTER ROLE plusmoin RESET search_path"},
		{name: "schema that may not be used", spoil: theirs + "REVOKE ALL ON SCHEMA public FROM PUBLIC, pg_database_owner", mark: "PROBLEM", words: "may not use schema public",
			paste: "GRANT USAGE ON SCHEMA public TO plusmoin;",
			undo:  "GRANT ALL ON SCHEMA public TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC; REVOKE ALL ON SCHEMA public FROM plusmoin"},
		{name: "view", spoil: "ALTER TABLE heartbeat RENAME TO h; CREATE VIEW heartbeat AS SELECT * FROM h", mark: "PROBLEM", words: "is a view and no plain table",
			paste: "ALTER VIEW public.heartbeat RENAME TO heartbeat_old;", undo: "DROP VIEW heartbeat_old; DROP TABLE h"},
		{name: "materialized view", spoil: "ALTER TABLE heartbeat RENAME TO h; CREATE MATERIALIZED VIEW heartbeat AS SELECT * FROM h", mark: "PROBLEM", words: "is a materialized view",
			paste: "ALTER MATERIALIZED VIEW public.heartbeat RENAME TO heartbeat_old;", undo: "DROP MATERIALIZED VIEW heartbeat_old; DROP TABLE h"},
		{name: "partitioned", spoil: "DROP TABLE heartbeat; CREATE TABLE heartbeat(cluster_id INT, master TEXT, tstamp BIGINT) PARTITION BY LIST (cluster_id)",
			mark: "PROBLEM", words: "is a partitioned table", paste: "ALTER TABLE public.heartbeat RENAME TO heartbeat_old;", undo: "DROP TABLE heartbeat_old"},
		{name: "hidden row", spoil: theirs + "ALTER TABLE heartbeat ENABLE ROW LEVEL SECURITY", mark: "PROBLEM", words: "row level security hides",
			paste: "CREATE POLICY plusmoin ON public.heartbeat TO plusmoin\n  USING (true) WITH CHECK (true);"},
		{name: "policy", spoil: "ALTER TABLE heartbeat ENABLE ROW LEVEL SECURITY; ALTER TABLE heartbeat FORCE ROW LEVEL SECURITY; CREATE POLICY p ON heartbeat USING (tstamp < 5)",
			mark: "note", words: "row level security holds", paste: "CREATE POLICY plusmoin ON public.heartbeat TO plusmoin\n  USING (true) WITH CHECK (true);"},
		{name: "identity", spoil: "ALTER TABLE heartbeat ALTER cluster_id SET NOT NULL, ALTER cluster_id ADD GENERATED ALWAYS AS IDENTITY", mark: "PROBLEM",
			words: "cluster_id takes no value", paste: "ALTER TABLE public.heartbeat ALTER COLUMN cluster_id DROP IDENTITY;"},
		{name: "computed", spoil: "ALTER TABLE heartbeat DROP tstamp, ADD tstamp BIGINT GENERATED ALWAYS AS (cluster_id * 2) STORED", mark: "PROBLEM",
			words: "tstamp is computed", paste: "ALTER TABLE public.heartbeat ALTER COLUMN tstamp DROP EXPRESSION;"},
		{name: "required", spoil: "DELETE FROM heartbeat; ALTER TABLE heartbeat ADD note TEXT NOT NULL", mark: "PROBLEM",
			words: "note must not be null", paste: "ALTER TABLE public.heartbeat ALTER COLUMN note DROP NOT NULL;"},
		{name: "published", spoil: "CREATE PUBLICATION p FOR ALL TABLES", mark: "PROBLEM", words: "has no replica identity",
			paste: "ALTER TABLE public.heartbeat REPLICA IDENTITY FULL;", undo: "DROP PUBLICATION p"},
		{name: "published schema", spoil: "CREATE PUBLICATION p FOR TABLES IN SCHEMA public", mark: "PROBLEM", words: "has no replica identity",
			paste: "ALTER TABLE public.heartbeat REPLICA IDENTITY FULL;", undo: "DROP PUBLICATION p"},
		{name: "rule", spoil: `CREATE RULE "My rule" AS ON UPDATE TO heartbeat DO INSTEAD NOTHING`, mark: "PROBLEM", words: `rule "My rule" of table`,
			paste: `ALTER TABLE public.heartbeat DISABLE RULE "My rule";`},
		{name: "trigger", spoil: "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; " +
			"CREATE TRIGGER t BEFORE UPDATE ON heartbeat FOR EACH ROW EXECUTE FUNCTION f()", mark: "note", words: "at every beat trigger t",
			paste: "ALTER TABLE public.heartbeat DISABLE TRIGGER t;", undo: "DROP FUNCTION f CASCADE"},
		{name: "constraint", spoil: "ALTER TABLE heartbeat ADD CONSTRAINT c CHECK (cluster_id < 5)", mark: "note", words: "constraint c of table",
			paste: "ALTER TABLE public.heartbeat DROP CONSTRAINT c;"},
		{name: "event trigger", spoil: "DROP TABLE heartbeat; CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$; " +
			"CREATE EVENT TRIGGER e ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION e(); ALTER EVENT TRIGGER e ENABLE ALWAYS",
			mark: "note", words: "event trigger e runs when the first beat makes the table",
			paste: "BEGIN;\nALTER EVENT TRIGGER e DISABLE;\nCREATE TABLE public.heartbeat\n  (cluster_id INT, master TEXT, tstamp BIGINT, tstamp_us INT);\n" +
				"ALTER TABLE public.heartbeat REPLICA IDENTITY FULL;\nALTER TABLE public.heartbeat OWNER TO plusmoin;\nALTER EVENT TRIGGER e ENABLE ALWAYS;\nCOMMIT;",
			undo: "DROP FUNCTION e CASCADE"},
		{name: "control data", spoil: "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC", mark: "note", words: "may not run pg_control_system()",
			paste: "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO plusmoin;", undo: "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC"},
		{name: "few connections", spoil: "ALTER ROLE plusmoin CONNECTION LIMIT 1", mark: "note", words: "may have 1 connections at once",
			paste: "ALTER ROLE plusmoin CONNECTION LIMIT 3;", undo: "ALTER ROLE plusmoin CONNECTION LIMIT -1"},
		{name: "expired", spoil: "ALTER ROLE plusmoin VALID UNTIL '2020-01-01'", mark: "note", words: "is over (VALID UNTIL)",
			paste: "ALTER ROLE plusmoin VALID UNTIL 'infinity';"},
	}
}

// Servers say it in their own language, and check finds the same.
func TestCheckInOtherLanguages(t *testing.T) {
	t.Parallel()
	server, err := pglab.New(t).Master(t.Context(), "m", pglab.HBA("host all nobody 127.0.0.1/32 trust"))
	must(t, err)
	if err := server.SetConf(t.Context(), "lc_messages", "de_DE.utf8"); err != nil {
		t.Skip("NOT CHECKED: this machine has no locale de_DE.utf8: ", err)
	}
	w := newWatch(t, conf{"heartbeat": 0.1, "connect_timeout": 10}, nodesOf(server)...)
	query(t, server, wellTable+"GRANT pg_read_all_stats TO plusmoin")
	if got := w.check().found("PROBLEM", "kein pg_hba.conf-Eintrag"); got != "host    plusmoin    plusmoin    127.0.0.1/32    scram-sha-256" {
		t.Errorf("%q", got)
	}
	for _, line := range []string{"host all plusmoin 127.0.0.1/32 reject", "host all plusmoin 127.0.0.1/32 ident",
		"host all plusmoin 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport=1 ldapprefix=x", "host all plusmoin 127.0.0.1/32 pam"} {
		must(t, server.SetHBA(t.Context(), line))
		if got := w.check().found("PROBLEM", "cannot connect"); got != "" {
			t.Errorf("with %q it says to paste %q", line, got)
		}
	}
	must(t, server.SetHBA(t.Context(), "host all all 127.0.0.1/32 trust"))
	for _, s := range []struct{ spoil, words, paste, undo string }{
		{"ALTER ROLE plusmoin CONNECTION LIMIT 0", "too_many_connections", "ALTER ROLE plusmoin CONNECTION LIMIT -1;", ""},
		{"ALTER DATABASE plusmoin CONNECTION LIMIT 0", "too_many_connections", "ALTER DATABASE plusmoin CONNECTION LIMIT -1;", ""},
		{"ALTER ROLE plusmoin NOLOGIN", "Einloggen", "", "ALTER ROLE plusmoin LOGIN"},
		{"REVOKE CONNECT ON DATABASE plusmoin FROM PUBLIC, plusmoin", "cannot connect", "GRANT CONNECT ON DATABASE plusmoin TO plusmoin;", ""},
		{"ALTER DATABASE plusmoin SET default_transaction_read_only = on", "from database", "BEGIN READ WRITE;\nALTER DATABASE plusmoin RESET default_transaction_read_only;\nCOMMIT;", ""},
		{"ALTER TABLE heartbeat OWNER TO postgres", "no right to SELECT, UPDATE", "GRANT SELECT, UPDATE ON TABLE public.heartbeat TO plusmoin;", ""},
	} {
		query(t, server, s.spoil)
		c := w.check()
		got := c.found("PROBLEM", s.words)
		if s.paste == "" {
			if !strings.Contains(c.text, "            ALTER ROLE plusmoin LOGIN;\n") {
				t.Errorf("%s:\n%s", s.spoil, c.text)
			}
			got = s.undo
		} else if got != s.paste {
			t.Errorf("%s: says to paste %q, want %q", s.spoil, got, s.paste)
		}
		query(t, server, got)
		w.check().absent(s.words)
	}
}

// Beside a plusmoin that says unwritable_master check says who it is that holds
// the row, by reading alone.
func TestCheckNamesWhoHoldsTheRow(t *testing.T) {
	t.Parallel()
	server, err := pglab.New(t, pglab.Conf("max_prepared_transactions", "3")).Master(t.Context(), "m")
	must(t, err)
	query(t, server, wellTable)
	w := newWatch(t, conf{"heartbeat": 0.1, "connect_timeout": 10}, nodesOf(server)...)
	w.check().absent("holds the heartbeat table")

	query(t, server, "BEGIN; UPDATE heartbeat SET tstamp = 1; PREPARE TRANSACTION 'my''tx'")
	roll := w.check().found("PROBLEM", "unwritable: the prepared transaction 'my''tx' holds the heartbeat table")
	if roll != "ROLLBACK PREPARED 'my''tx';" {
		t.Errorf("%q", roll)
	}
	query(t, server, roll)
	w.check().absent("holds the heartbeat table")

	for _, sql := range []string{
		"BEGIN; SELECT 1 FROM heartbeat FOR UPDATE; SELECT pg_sleep(60) /* held */",
		"BEGIN; LOCK TABLE heartbeat IN SHARE MODE; SELECT pg_sleep(60) /* held */",
		"BEGIN; LOCK TABLE heartbeat IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60) /* held */",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _, _ = server.SQL(ctx, sql) }) // ended by what check prints
		const held = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
		w.await(func() bool { return query(t, server, held) != "" })
		end := w.check().found("PROBLEM", "holds the heartbeat table or its row")
		if want := fmt.Sprintf("SELECT pg_terminate_backend(%s);", query(t, server, held)); end != want {
			t.Errorf("%s: %q, want %q", sql, end, want)
		}
		query(t, server, end)
		running.Wait()
		cancel()
		w.check().absent("holds the heartbeat table")
	}
}
