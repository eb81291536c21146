package postgres

import (
	"strconv"
	"strings"
)

// The SQL of the package, and all that depends on the version of a server.

const (
	// The row as JSON has a column tstamp_us or has none; as columns the server
	// would refuse the statement, or go on with the columns that were there when
	// it was prepared. Numbers stay JSON: a text is none, and a null of the column
	// is not the same as no column.
	rowSQL = `SELECT r->'cluster_id', CASE jsonb_typeof(r->'master') WHEN 'string' THEN r->>'master' END, ` +
		`r->'tstamp', r->'tstamp_us' FROM (SELECT to_jsonb(h) AS r FROM heartbeat h LIMIT 2) AS few`

	// The guard keeps a table of several rows as it is.
	onlyRow = ` WHERE (SELECT count(*) FROM (SELECT FROM heartbeat LIMIT 2) AS few) = 1`

	fineBeatSQL   = `UPDATE heartbeat SET cluster_id = $1, master = $2, tstamp = $3, tstamp_us = $4` + onlyRow
	coarseBeatSQL = `UPDATE heartbeat SET cluster_id = $1, master = $2, tstamp = $3` + onlyRow

	createSQL = `CREATE TABLE IF NOT EXISTS heartbeat` +
		`(cluster_id INT, master TEXT, tstamp BIGINT, tstamp_us INT)`

	// The lock keeps two monitors from inserting a row each. It is held to the
	// end of the implicit transaction that statements sent together are.
	insertSQL = `LOCK TABLE heartbeat IN SHARE ROW EXCLUSIVE MODE; ` +
		`INSERT INTO heartbeat(cluster_id, master, tstamp) SELECT -1, '-', 0 WHERE NOT EXISTS (SELECT FROM heartbeat); ` +
		rowSQL

	alterSQL = `ALTER TABLE heartbeat ADD COLUMN IF NOT EXISTS tstamp_us INT`

	// Apart from the rest, since the function may be revoked.
	systemSQL = `SELECT system_identifier FROM pg_control_system()`

	serverSQL = `SELECT current_setting('server_version_num'), ` +
		`(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, ` +
		`host(inet_server_addr()), coalesce(inet_server_port(), current_setting('port')::int)`
)

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

// sessionSQL sets what a server of that version knows and an older one would
// refuse a session for; "" if there is nothing.
func sessionSQL(major int) string {
	if major < 14 {
		return ""
	}
	// The first frees locks that a session waits for after its client is gone,
	// the second keeps the server from ending a session that waits for us.
	return `SET client_connection_check_interval = '2s'; SET idle_session_timeout = 0`
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
	paused, received := `pg_is_wal_replay_paused()`, `w.received_lsn`
	sender := `NULL, NULL`
	if major >= 11 {
		sender = `w.sender_host, w.sender_port`
	}
	if major >= 13 {
		received = `w.flushed_lsn`
	}
	if major >= 14 {
		paused = `pg_get_wal_replay_pause_state() <> 'not paused'`
	}
	return `SELECT here.slave,
CASE WHEN NOT here.slave THEN pg_walfile_name(pg_current_wal_lsn()) END,
CASE WHEN here.slave THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END,
CASE WHEN here.slave THEN pg_last_wal_replay_lsn() END,
CASE WHEN here.slave THEN ` + paused + ` END,
CASE WHEN NOT here.slave THEN ` + syncBlocked + ` END,
w.pid, w.status, w.received_tli, ` + received + `,
(extract(epoch FROM w.last_msg_receipt_time) * 1000000)::bigint, ` + sender + `
FROM (SELECT pg_is_in_recovery() AS slave) AS here, pg_stat_get_wal_receiver() AS w`
}

// syncBlocked is true if fewer standbys are in sync than commits wait for, and
// null if the role may not see how many are.
const syncBlocked = `CASE WHEN current_setting('synchronous_standby_names') = '' THEN false ELSE (
SELECT CASE WHEN count(*) FILTER (WHERE s.sync_state IN ('sync', 'quorum')) >=
coalesce(substring(current_setting('synchronous_standby_names') FROM '(?i)^\s*(?:first|any)?\s*(\d+)\s*\(')::int, 1) THEN false
WHEN bool_or(s.sync_state IS NULL) THEN NULL ELSE true END
FROM pg_stat_get_wal_senders() AS s) END`
