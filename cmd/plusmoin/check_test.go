//go:build linux

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"plusmoin/internal/pglab"
)

// checked is what plusmoin check printed.
type checked struct {
	t    *testing.T
	text string
	code int
}

// check runs plusmoin check under the configuration of a watch.
func (w *watch) check() checked {
	w.t.Helper()
	self, err := os.Executable()
	must(w.t, err)
	cmd := exec.Command(self, "-c", w.configFile(), "check")
	cmd.Env = append(os.Environ(), "PLUSMOIN_TEST_MAIN=1")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	c := checked{w.t, out.String(), cmd.ProcessState.ExitCode()}
	if complaint.Len() > 0 || strings.Contains(c.text, pglab.Password) || strings.Contains(c.text, "\x1b") {
		w.t.Errorf("check printed %q, and on standard error %q", c.text, complaint.String())
	}
	for line := range strings.Lines(c.text) {
		if utf8.RuneCountInString(line) > 81 && !strings.HasPrefix(line, pasted) && !strings.HasPrefix(line, "configuration ") {
			w.t.Errorf("longer than 80 columns: %q", line)
		}
	}
	if wrong := strings.Contains(c.text, "PROBLEM"); wrong != (c.code == 1) || !wrong && c.code != 0 {
		w.t.Errorf("exit code %d of\n%s", c.code, c.text)
	}
	return c
}

// How lines begin that go on with a finding, and those that are to be pasted.
const (
	goesOn = "          "
	pasted = goesOn + "  "
)

// finding returns the text of the first finding with these words and the lines
// of its first remedy, or "" if there is none.
func (c checked) finding(words string) (text, remedy string) {
	var blocks []string
	for line := range strings.Lines(c.text) {
		if strings.HasPrefix(line, goesOn) && len(blocks) > 0 {
			blocks[len(blocks)-1] += line
		} else {
			blocks = append(blocks, line)
		}
	}
	for _, block := range blocks {
		prose, rest, _ := strings.Cut(block, "\n"+pasted)
		prose = strings.Join(strings.Fields(prose), " ")
		if !strings.Contains(prose, words) {
			continue
		}
		for line := range strings.Lines(pasted + rest) {
			line, ok := strings.CutPrefix(line, pasted)
			if !ok {
				break
			}
			remedy += line
		}
		return prose, strings.TrimSpace(remedy)
	}
	return "", ""
}

// found returns the remedy of a finding that must be there.
func (c checked) found(mark, words string) string {
	c.t.Helper()
	text, remedy := c.finding(words)
	if !strings.HasPrefix(text, mark+" ") {
		c.t.Fatalf("%s %q is not said in\n%s", mark, words, c.text)
	}
	return remedy
}

func (c checked) absent(words string) {
	c.t.Helper()
	if text, _ := c.finding(words); text != "" && !strings.HasPrefix(text, "ok ") {
		c.t.Fatalf("%q is said in\n%s", words, c.text)
	}
}

const wellTable = `DROP TABLE IF EXISTS heartbeat; CREATE TABLE heartbeat(cluster_id INT, master TEXT, tstamp BIGINT, tstamp_us INT);
INSERT INTO heartbeat VALUES (-1, '-', 0); ALTER TABLE heartbeat OWNER TO plusmoin; `

// spoilt is something wrong on a master that is otherwise well.
type spoilt struct {
	name  string
	spoil string // SQL
	mark  string
	words string
	paste string // what check prints, exactly
	undo  string // SQL, after the remedy
	conf  conf
}

func spoils() []spoilt {
	const theirs = "ALTER TABLE heartbeat OWNER TO postgres; "
	return []spoilt{
		{name: "no table", spoil: "DROP TABLE heartbeat; REVOKE CREATE ON SCHEMA public FROM pg_database_owner",
			mark: "PROBLEM", words: "may not make it in schema public", paste: "GRANT CREATE ON SCHEMA public TO plusmoin;",
			undo: "GRANT CREATE ON SCHEMA public TO pg_database_owner; REVOKE CREATE ON SCHEMA public FROM plusmoin"},
		{name: "no schema", spoil: "DROP TABLE heartbeat; REVOKE ALL ON SCHEMA public FROM PUBLIC, pg_database_owner",
			mark: "PROBLEM", words: "no schema that the role may use", paste: "GRANT USAGE, CREATE ON SCHEMA public TO plusmoin;",
			undo: "GRANT ALL ON SCHEMA public TO pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC; REVOKE ALL ON SCHEMA public FROM plusmoin"},
		{name: "three columns", spoil: theirs + "ALTER TABLE heartbeat DROP tstamp_us; GRANT SELECT, UPDATE ON heartbeat TO plusmoin",
			mark: "note", words: "no column tstamp_us", paste: "ALTER TABLE public.heartbeat ADD COLUMN tstamp_us INT;"},
		{name: "missing column", spoil: "ALTER TABLE heartbeat DROP master",
			mark: "PROBLEM", words: "lacks columns", paste: "ALTER TABLE public.heartbeat ADD COLUMN master TEXT;"},
		{name: "wrong type", spoil: "ALTER TABLE heartbeat ALTER tstamp TYPE TEXT",
			mark: "PROBLEM", words: "lacks columns", paste: "ALTER TABLE public.heartbeat ALTER COLUMN tstamp\n  TYPE BIGINT USING tstamp::BIGINT;"},
		{name: "no right", spoil: theirs, mark: "PROBLEM", words: "no right to SELECT, UPDATE",
			paste: "GRANT SELECT, UPDATE ON TABLE public.heartbeat TO plusmoin;"},
		{name: "no right to write", spoil: theirs + "GRANT SELECT, UPDATE(cluster_id) ON heartbeat TO plusmoin",
			mark: "PROBLEM", words: "no right to UPDATE", paste: "GRANT UPDATE ON TABLE public.heartbeat TO plusmoin;"},
		{name: "no right to insert", spoil: theirs + "DELETE FROM heartbeat; GRANT SELECT, UPDATE ON heartbeat TO plusmoin",
			mark: "PROBLEM", words: "no right to INSERT", paste: "GRANT INSERT ON TABLE public.heartbeat TO plusmoin;"},
		{name: "many rows", spoil: "INSERT INTO heartbeat VALUES (7, 'a:1', 5, 8), (7, 'a:1', 5, 9), (7, 'a:1', NULL, 9)",
			mark: "PROBLEM", words: "must hold one row and holds 4. While no monitor runs",
			paste: "DELETE FROM public.heartbeat WHERE ctid <> (\n  SELECT ctid FROM public.heartbeat\n" +
				"  ORDER BY coalesce(master IN ('127.0.0.1:PORT'), false) DESC,\n    tstamp DESC NULLS LAST, tstamp_us DESC NULLS LAST LIMIT 1);"},
		{name: "nulls", spoil: "UPDATE heartbeat SET master = NULL, tstamp = NULL", mark: "PROBLEM", words: "not null",
			paste: "UPDATE public.heartbeat SET cluster_id = coalesce(cluster_id, -1),\n  master = coalesce(master, '-'), tstamp = coalesce(tstamp, 0);"},
		{name: "unlogged", spoil: "ALTER TABLE heartbeat SET UNLOGGED", mark: "PROBLEM", words: "unlogged",
			paste: "ALTER TABLE public.heartbeat SET LOGGED;"},
		{name: "no stats", spoil: "REVOKE pg_read_all_stats FROM plusmoin", mark: "note", words: "pg_read_all_stats",
			paste: "GRANT pg_read_all_stats TO plusmoin;"},
		{name: "read-only database", spoil: "ALTER DATABASE plusmoin SET default_transaction_read_only = on",
			mark: "PROBLEM", words: "from database", paste: "BEGIN READ WRITE;\nALTER DATABASE plusmoin RESET default_transaction_read_only;\nCOMMIT;"},
		{name: "read-only role", spoil: "ALTER ROLE plusmoin SET default_transaction_read_only = on",
			mark: "PROBLEM", words: "from user", paste: "BEGIN READ WRITE;\nALTER ROLE plusmoin RESET default_transaction_read_only;\nCOMMIT;"},
		{name: "limited role", spoil: "ALTER ROLE plusmoin CONNECTION LIMIT 0", mark: "PROBLEM", words: "too_many_connections",
			paste: "ALTER ROLE plusmoin CONNECTION LIMIT -1;"},
		{name: "no login", spoil: "ALTER ROLE plusmoin NOLOGIN", mark: "PROBLEM", words: "auth: cannot connect",
			paste: "ALTER ROLE plusmoin LOGIN;"},
		{name: "no right to connect", spoil: "REVOKE CONNECT ON DATABASE plusmoin FROM PUBLIC, plusmoin",
			mark: "PROBLEM", words: "misconfigured: cannot connect", paste: "GRANT CONNECT ON DATABASE plusmoin TO plusmoin;"},
		{name: "no database", conf: conf{"dbname": "Other one"}, mark: "PROBLEM", words: "misconfigured: cannot connect",
			paste: `CREATE DATABASE "Other one" OWNER plusmoin;`},
		{name: "no role", conf: conf{"user": "user", "dbname": "plusmoin"}, mark: "PROBLEM", words: "auth: cannot connect",
			paste: "CREATE ROLE \"user\" LOGIN;\nSET password_encryption = 'scram-sha-256';\n\\password \"user\""},
	}
}

// Every finding goes away by pasting what check printed for it.
func TestCheckPrintsWhatMends(t *testing.T) {
	t.Run("access", func(t *testing.T) { pasteEach(t, spoils()) })
	t.Run("obstacles", func(t *testing.T) { pasteEach(t, obstacles()) })
}

// pasteEach spoils a server in one way after the other, pastes what check prints
// and sees the finding gone.
func pasteEach(t *testing.T, list []spoilt) {
	t.Parallel()
	server, err := pglab.New(t).Master(t.Context(), "m", pglab.HBA("host all all 127.0.0.1/32 trust"))
	must(t, err)
	w := newWatch(t, conf{"heartbeat": 0.1}, nodesOf(server)...)
	w.letDaemonIn()
	before := maps.Clone(w.conf)
	query(t, server, wellTable+"GRANT pg_read_all_stats TO plusmoin")
	if c := w.check(); !strings.HasSuffix(c.text, "\n1 node, 0 problems, 0 notes: plusmoin can do its work\n") {
		t.Fatalf("of a master that is well:\n%s", c.text)
	}
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			w.t = t
			w.configure(s.conf, nodesOf(server)...)
			query(t, server, s.spoil)
			paste := strings.ReplaceAll(s.paste, "PORT", fmt.Sprint(server.Port()))
			if got := w.check().found(s.mark, s.words); got != paste {
				t.Errorf("says to paste\n%s\nwant\n%s", got, paste)
			}
			statements, _, _ := strings.Cut(paste, "\\") // a password is asked for on a terminal
			query(t, server, statements)
			w.check().absent(s.words)
			query(t, server, s.undo)
			query(t, server, wellTable)
			w.conf = maps.Clone(before)
		})
	}
	w.t = t
}

// What pg_hba.conf lacks is the line that names exactly us.
func TestCheckPrintsTheLineOfAccess(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m", pglab.HBA("host all nobody 127.0.0.1/32 trust"))
	must(t, err)
	w := newWatch(t, conf{"heartbeat": 0.1}, nodesOf(server)...)
	line := w.check().found("PROBLEM", "auth: cannot connect: no pg_hba.conf entry")
	if want := "host    plusmoin    plusmoin    127.0.0.1/32    scram-sha-256"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
	must(t, server.SetHBA(t.Context(), line))
	w.check().absent("cannot connect")
	w.configure(conf{"sslmode": "require"}, nodesOf(server)...)
	w.check().found("PROBLEM", "tls: cannot connect")
	w.configure(conf{"sslmode": "prefer", "password": "not it"}, nodesOf(server)...)
	c := w.check()
	if c.found("PROBLEM", "auth: cannot connect"); !strings.Contains(c.text, "SET password_encryption = 'scram-sha-256';\n            \\password plusmoin\n") {
		t.Errorf("for a wrong password:\n%s", c.text)
	}
	must(t, server.Kill(t.Context()))
	w.check().found("PROBLEM", "refused: cannot connect")
}

func TestCheckOfAWholeCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := pglab.New(t, pglab.Conf("archive_mode", "on"), pglab.Conf("archive_command", "true"), pglab.Conf("archive_timeout", "60"))
	servers := cast(t, lab, "m", "s1", "s2")
	m, s1 := servers[0], servers[1]
	query(t, m, wellTable+"GRANT pg_read_all_stats TO plusmoin")
	nodes := nodesOf(servers...)
	w := newWatch(t, conf{"heartbeat": 0.1}, nodes...)
	c := w.check()
	c.found("note", "archive_timeout is 60 s: a beat makes the server archive a WAL segment of 1MB every 60 s even if nothing else happens, 1440 a day")
	c.absent("is no node")
	c.found("ok", "streams from "+nodes[0].address()+"; takes a silent master for alive for 60 s")

	w.configure(nil, nodes[:2]...)
	entry := w.check().found("note", "streams to a slave on 127.0.0.1 that is no node of the configuration (application_name s2)")
	if entry != `{"host": "127.0.0.1", "port": 5432},` {
		t.Errorf("entry of a slave that is not listed: %s", entry)
	}
	w.configure(nil, nodes[1:]...)
	w.check().found("PROBLEM", "no node of the configuration is its master; it streams from "+nodes[0].address())
	again := nodes[0]
	again.host = "localhost"
	w.configure(nil, append(nodes, again)...)
	w.check().found("note", "alias: is the same server as "+nodes[0].address())
	w.configure(nil, nodes...)

	must(t, m.SetConf(ctx, "synchronous_standby_names", "ghost"))
	must(t, s1.SetConf(ctx, "recovery_min_apply_delay", "1h"))
	c = w.check()
	c.found("note", "synchronous_standby_names = 'ghost'")
	limits := c.found("note", "recovery_min_apply_delay is 3600 s")
	if want := fmt.Sprintf("{\"host\": \"127.0.0.1\", \"port\": %d,\n  \"max_sync_delay\": 3604, \"recover_sync_delay\": 3602},", s1.Port()); limits != want {
		t.Errorf("limits of a delayed slave:\n%s\nwant\n%s", limits, want)
	}
	nodes[1].own = conf{"max_sync_delay": 3604, "recover_sync_delay": 3602}
	w.configure(nil, nodes...)
	w.check().absent("recovery_min_apply_delay")
	must(t, m.SetConf(ctx, "synchronous_standby_names", ""))
}

func TestCheckOfAServerThatIsNearlyFull(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t, pglab.Conf("max_connections", "9"), pglab.Conf("max_wal_senders", "2"))
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	w := newWatch(t, conf{"heartbeat": 0.1}, nodesOf(server)...)
	w.check().absent("are in use")
	for range 4 {
		session(t, server, "SELECT pg_sleep(60) /* taken */")
	}
	w.await(func() bool {
		return query(t, server, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()") == "4"
	})
	w.check().found("note", "5 of 6 connections that ordinary roles may have are in use")
	endSessions(t, server, "pg_sleep(60)")
}

// await polls something that is neither events nor status.json.
func (w *watch) await(yes func() bool) {
	w.t.Helper()
	if !w.Poll(yes) {
		w.t.Fatal("waited in vain")
	}
}

// A row that changes is another monitor's, unless ours runs and wrote it.
func TestCheckNamesASecondWriter(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	nodes := nodesOf(servers...)
	ours, theirs := newWatch(t, nil, nodes...), newWatch(t, nil, nodes...)
	ours.start()
	ours.Expect("plusmoin_up 0")
	ours.check().absent("second_writer")
	ours.check().absent("logged on here")
	theirs.check().found("PROBLEM", "second_writer: another monitor writes the row while plusmoin check looks, as cluster 0, master "+
		nodes[0].address()+"; the role is logged on from 127.0.0.1.")
	ours.stop()
	ours.check().absent("second_writer")

	const elsewhere = "UPDATE heartbeat SET cluster_id = 9, master = 'elsewhere:1', tstamp = extract(epoch FROM now())"
	query(t, servers[0], elsewhere)
	ours.check().found("PROBLEM", "second_writer: the row was written by another monitor, as cluster 9, master elsewhere:1")
	query(t, servers[0], elsewhere+" - 86400")
	ours.check().found("note", "the row names elsewhere:1, which is no node")

	// A writer beside ours, which takes over the id that it finds.
	ours.start()
	ours.Expect("plusmoin_up 9")
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			_, _ = servers[0].SQL(ctx, elsewhere) // it is ended below
			<-time.After(50 * time.Millisecond)
		}
	})
	ours.check().found("PROBLEM", "second_writer")
	cancel()
	writing.Wait()
}

// Check changes nothing, not even where the first beat would.
func TestCheckWritesNothing(t *testing.T) {
	t.Parallel()
	server, err := pglab.New(t, pglab.Conf("log_statement", "all")).Master(t.Context(), "m")
	must(t, err)
	w := newWatch(t, conf{"heartbeat": 0.1}, nodesOf(server)...)
	before := query(t, server, "SELECT pg_current_wal_insert_lsn(), txid_current_if_assigned(), (SELECT count(*) FROM pg_class)")
	w.check().found("ok", "no table heartbeat yet: the first beat makes it in schema public")
	after := query(t, server, "SELECT pg_current_wal_insert_lsn(), txid_current_if_assigned(), (SELECT count(*) FROM pg_class)")
	if before != after {
		t.Errorf("before %s, after %s\n%s", before, after, server.Log())
	}
	for _, word := range []string{"INSERT", "UPDATE h", "CREATE", "ALTER", "LOCK"} {
		if strings.Contains(server.Log(), ": "+word) {
			t.Errorf("check has sent %s", word)
		}
	}
}

func TestCheckListsAllProblemsOfTheConfiguration(t *testing.T) {
	w := newWatch(t, conf{"max_sync_delay": "x", "color": 1})
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-c", w.configFile(), "check")
	cmd.Env = append(os.Environ(), "PLUSMOIN_TEST_MAIN=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "max_sync_delay") || !strings.Contains(string(out), "color") {
		t.Errorf("%v: %s", err, out)
	}
}
