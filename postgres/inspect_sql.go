package postgres

import "encoding/json"

// The SQL of an inspection. Each statement gives one JSON value. They may be
// slow on a server with many sessions: a round never sends them.

const (
	readOnlySQL = `SELECT jsonb_build_object('on', setting = 'on', 'source', source)
FROM pg_settings WHERE name = 'default_transaction_read_only'`

	// The timeout is above that of a round, for the sake of the views.
	forbidSQL = `SET default_transaction_read_only = on; SET statement_timeout = '5s'`

	aboutSQL = `SELECT jsonb_build_object(
'role', current_user, 'database', current_database(),
'schema', coalesce(current_schema(), ''), 'recovering', pg_is_in_recovery(),
'may_create', coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
'sees_stats', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
'client', coalesce(host(inet_client_addr()), ''), 'segment', current_setting('wal_segment_size'),
'used', (SELECT sum(numbackends) FROM pg_stat_database))`

	confSQL = `SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name IN (
'archive_mode', 'archive_timeout', 'cluster_name', 'max_connections', 'recovery_min_apply_delay', 'reserved_connections',
'superuser_reserved_connections', 'synchronous_standby_names', 'wal_receiver_timeout')`

	// The rights are those on every column that a look reads or a beat writes.
	relationSQL = `SELECT jsonb_build_object(
'schema', n.nspname, 'owner', pg_get_userbyid(c.relowner), 'unlogged', c.relpersistence = 'u',
'owned', pg_has_role(current_user, c.relowner, 'USAGE'), 'columns', a.types,
'may_select', a.may_select, 'may_update', a.may_update, 'may_insert', a.may_insert)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
SELECT jsonb_object_agg(attname, format_type(atttypid, atttypmod)) AS types,
bool_and(has_column_privilege(c.oid, attnum, 'SELECT')) AS may_select,
bool_and(has_column_privilege(c.oid, attnum, 'UPDATE'))
FILTER (WHERE attname IN ('cluster_id', 'master', 'tstamp', 'tstamp_us')) AS may_update,
bool_and(has_column_privilege(c.oid, attnum, 'INSERT'))
FILTER (WHERE attname IN ('cluster_id', 'master', 'tstamp')) AS may_insert
FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a
WHERE c.oid = to_regclass('heartbeat')`

	// More are not counted.
	rowsSQL = `SELECT count(*) FROM (SELECT FROM heartbeat LIMIT 1000) AS few`

	sessionsSQL = `SELECT coalesce(jsonb_agg(s), '[]') FROM (
SELECT pid, coalesce(application_name, '') AS application, coalesce(host(client_addr), '') AS client
FROM pg_stat_activity WHERE usename = session_user AND datname = current_database() ORDER BY pid LIMIT 200) AS s`

	// Who only receives has no position of replay, and a subscriber to logical
	// changes is no slave.
	standbysSQL = `SELECT coalesce(jsonb_agg(s), '[]') FROM (
SELECT r.application_name AS application, coalesce(host(r.client_addr), '') AS client
FROM pg_stat_replication r LEFT JOIN pg_replication_slots o ON o.active_pid = r.pid
WHERE r.replay_lsn IS NOT NULL AND o.slot_type IS DISTINCT FROM 'logical' ORDER BY r.pid LIMIT 500) AS s`
)

// readOnly says whether transactions are read-only by default, and what made
// them so in the words of pg_settings.source.
type readOnly struct {
	On     bool
	Source string
}

// about is what a server says of the session.
type about struct {
	Role       string
	Database   string
	Schema     string // in which a table would be made, "" for none
	MayCreate  bool   `json:"may_create"`
	SeesStats  bool   `json:"sees_stats"`
	Recovering bool
	Client     string
	Segment    string
	Used       int64 // connections
}

// relation is the heartbeat table.
type relation struct {
	Schema    string
	Owner     string
	Owned     bool // by the role, or by one that it is a member of
	Unlogged  bool
	Columns   map[string]string // types by name
	MaySelect bool              `json:"may_select"`
	MayInsert bool              `json:"may_insert"`
	MayUpdate bool              `json:"may_update"`
}

// decode reads the one value of an answer into target, which stays as it is if
// there is none.
func decode(r reply, target any) {
	if r.err != nil || len(r.rows) != 1 || r.rows[0][0] == nil {
		return
	}
	// What does not fit stays unknown, as what the server refuses does.
	_ = json.Unmarshal(r.rows[0][0], target)
}
