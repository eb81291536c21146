package postgres

import (
	"strconv"
	"strings"
)

// The SQL of the package, and all that depends on the version of a server.
//
// Whoever may create something in a schema of the search_path could put a
// function or an operator before those of PostgreSQL. So nothing here is found by
// it: functions, types without a keyword of their own and operators are those of
// pg_catalog, and the table is named with its schema, for which public stands
// until it is known, see in.

const (
	// The row as JSON has a column tstamp_us or has none; as columns the server
	// would refuse the statement, or go on with the columns that were there when
	// it was prepared. Numbers stay JSON: a text is none, and a null of the column
	// is not the same as no column. The start of the server tells whether it is
	// the one that the session began with.
	rowSQL = `SELECT r OPERATOR(pg_catalog.->) 'cluster_id', ` +
		`CASE WHEN pg_catalog.jsonb_typeof(r OPERATOR(pg_catalog.->) 'master') OPERATOR(pg_catalog.=) 'string' THEN r OPERATOR(pg_catalog.->>) 'master' END, ` +
		`r OPERATOR(pg_catalog.->) 'tstamp', r OPERATOR(pg_catalog.->) 'tstamp_us', ` + startedSQL +
		` FROM (SELECT pg_catalog.to_jsonb(h) AS r FROM public.heartbeat h LIMIT 2) AS few`

	startedSQL = `(extract(epoch FROM pg_catalog.pg_postmaster_start_time()) OPERATOR(pg_catalog.*) 1000000)::bigint`

	// The guard keeps a table of several rows as it is.
	onlyRow = ` WHERE (SELECT pg_catalog.count(*) FROM (SELECT FROM public.heartbeat LIMIT 2) AS few) OPERATOR(pg_catalog.=) 1`

	fineBeatSQL   = `UPDATE public.heartbeat SET cluster_id = $1, master = $2, tstamp = $3, tstamp_us = $4` + onlyRow
	coarseBeatSQL = `UPDATE public.heartbeat SET cluster_id = $1, master = $2, tstamp = $3` + onlyRow

	// Behind a pooler the session may wait for a synchronous standby.
	commitHere = `SET LOCAL synchronous_commit = local; `

	// Without a replica identity a publication of all tables refuses every beat.
	createSQL = commitHere + `CREATE TABLE IF NOT EXISTS public.heartbeat` +
		`(cluster_id INT, master pg_catalog.text, tstamp BIGINT, tstamp_us INT) WITHOUT OIDS; ` +
		`ALTER TABLE public.heartbeat REPLICA IDENTITY FULL`

	// The lock keeps two monitors from inserting a row each. It is held to the
	// end of the implicit transaction that statements sent together are. A row
	// that row level security hides is an error and no reason to insert another.
	insertSQL = commitHere + `SET LOCAL row_security = off; LOCK TABLE public.heartbeat IN SHARE ROW EXCLUSIVE MODE; ` +
		`INSERT INTO public.heartbeat(cluster_id, master, tstamp) SELECT -1, '-', 0 WHERE NOT EXISTS (SELECT FROM public.heartbeat); ` +
		rowSQL

	alterSQL = commitHere + `ALTER TABLE public.heartbeat ADD COLUMN IF NOT EXISTS tstamp_us INT`

	// The table is where the role would find it, else in public; and where the
	// role would make it if there is none.
	schemaSQL = `SELECT coalesce(` +
		`(SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace ` +
		`WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('heartbeat')::oid), ` +
		`(SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace ` +
		`WHERE n.nspname OPERATOR(pg_catalog.=) 'public' AND c.relname OPERATOR(pg_catalog.=) 'heartbeat'), ` +
		`CASE WHEN pg_catalog.current_schema() OPERATOR(pg_catalog.<>) 'pg_catalog' THEN pg_catalog.current_schema() END)`

	// Apart from the rest, since the function may be revoked.
	systemSQL = `SELECT system_identifier FROM pg_catalog.pg_control_system()`

	serverSQL = `SELECT pg_catalog.current_setting('server_version_num'), ` + startedSQL + `, ` +
		`pg_catalog.host(pg_catalog.inet_server_addr()), ` +
		`coalesce(pg_catalog.inet_server_port(), pg_catalog.current_setting('port')::int), pg_catalog.pg_backend_pid()`
)

// in returns sql for the table in a schema.
func in(schema, sql string) string {
	if schema == "" || schema == "public" {
		return sql
	}
	return strings.ReplaceAll(sql, "public.heartbeat", `"`+strings.ReplaceAll(schema, `"`, `""`)+`".heartbeat`)
}

// major reads the version a server reports when a session begins, such as
// "15.18 (Debian 15.18-0)", "9.6.24" or "19beta1". 0 means that it is not to be
// read; the oldest dialect is then spoken.
func major(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		version = version[:end]
	}
	n, err := strconv.Atoi(version)
	if err != nil {
		return 0
	}
	return n
}

// factsSQL returns the statement for decodeFacts. All sessions with servers that
// speak alike share one.
func factsSQL(major int) string {
	for _, d := range factsDialects {
		if major >= d.since {
			return d.sql
		}
	}
	return ""
}

var factsDialects = [...]struct {
	since int
	sql   string
}{{14, factsSince(14)}, {13, factsSince(13)}, {11, factsSince(11)}, {0, factsSince(0)}}

// factsSince must stay cheap: views such as pg_stat_replication and
// pg_stat_activity are slow on a server with many sessions, the functions below
// are not.
func factsSince(major int) string {
	paused, received := `pg_catalog.pg_is_wal_replay_paused()`, `w.received_lsn`
	sender := `NULL, NULL`
	if major >= 11 {
		sender = `w.sender_host, w.sender_port`
	}
	if major >= 13 {
		received = `w.flushed_lsn`
	}
	if major >= 14 {
		paused = `pg_catalog.pg_get_wal_replay_pause_state() OPERATOR(pg_catalog.<>) 'not paused'`
	}
	return `SELECT here.slave,
CASE WHEN NOT here.slave THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,
CASE WHEN here.slave THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()) ELSE pg_catalog.pg_current_wal_lsn() END,
CASE WHEN here.slave THEN pg_catalog.pg_last_wal_replay_lsn() END,
CASE WHEN here.slave THEN ` + paused + ` END,
CASE WHEN NOT here.slave THEN ` + syncBlocked + ` END,
w.pid, w.status, w.received_tli, ` + received + `,
(extract(epoch FROM w.last_msg_receipt_time) OPERATOR(pg_catalog.*) 1000000)::bigint, ` + sender + `, ` + startedSQL + `
FROM (SELECT pg_catalog.pg_is_in_recovery() AS slave) AS here, pg_catalog.pg_stat_get_wal_receiver() AS w`
}

// syncBlocked is true if fewer standbys are in sync than commits wait for, and
// null if the role may not see how many are.
const syncBlocked = `CASE WHEN pg_catalog.current_setting('synchronous_standby_names') OPERATOR(pg_catalog.=) '' THEN false ELSE (
SELECT CASE WHEN pg_catalog.count(*) FILTER (WHERE s.sync_state OPERATOR(pg_catalog.=) 'sync' OR s.sync_state OPERATOR(pg_catalog.=) 'quorum')
OPERATOR(pg_catalog.>=) coalesce(substring(pg_catalog.current_setting('synchronous_standby_names') FROM '(?i)^\s*(?:first|any)?\s*(\d+)\s*\(')::int, 1) THEN false
WHEN pg_catalog.bool_or(s.sync_state IS NULL) THEN NULL ELSE true END
FROM pg_catalog.pg_stat_get_wal_senders() AS s) END`
