package postgres

import (
	"bytes"
	"encoding/json"
	"strings"
)

// The SQL of an inspection. Each statement gives one JSON value. They may be
// slow on a server with many sessions: a round never sends them.

const (
	readOnlySQL = `SELECT pg_catalog.jsonb_build_object('on', setting OPERATOR(pg_catalog.=) 'on', 'source', source)
FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only'`

	// The timeout is above that of a round, for the sake of the views.
	forbidSQL = `SET default_transaction_read_only = on; SET statement_timeout = '5s'`

	// What an inspection asks beside a round is then found in pg_catalog, and
	// is_slave_statement, which is found by the role's own path, is over.
	pathSQL = `SET search_path = pg_catalog, pg_temp`

	// Behind a pooler no session is ours to change.
	beginSQL, rollbackSQL = `BEGIN READ ONLY`, `ROLLBACK`

	aboutSQL = `SELECT jsonb_build_object(
'role', current_user, 'database', current_database(), 'recovering', pg_is_in_recovery(),
'sees_stats', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
'client', coalesce(host(inet_client_addr()), ''), 'segment', current_setting('wal_segment_size'),
'used', (SELECT sum(numbackends) FROM pg_stat_database))`

	schemaRightsSQL = `SELECT jsonb_build_object('there', true, 'may_use', has_schema_privilege(oid, 'USAGE'),
'may_create', has_schema_privilege(oid, 'CREATE')) FROM pg_namespace WHERE nspname = $schema`

	roleSQL = `SELECT jsonb_build_object('limit', rolconnlimit,
'expires', CASE WHEN isfinite(rolvaliduntil) THEN extract(epoch FROM rolvaliduntil - now())::bigint END)
FROM pg_roles WHERE rolname = current_user`

	confSQL = `SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name IN (
'archive_mode', 'archive_timeout', 'cluster_name', 'max_connections', 'recovery_min_apply_delay', 'reserved_connections',
'superuser_reserved_connections', 'synchronous_standby_names', 'wal_receiver_timeout')`

	// More are not counted.
	rowsSQL = `SELECT count(*) FROM (SELECT FROM public.heartbeat LIMIT 1000) AS few`

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

// relationSQL asks for all of the table that decides whether a beat gets into it.
// It takes no lock on it. The rights are those on every column that a look reads
// or a beat writes.
func relationSQL(schema string, major int) string {
	generated, whole := `false`, ``
	if major >= 12 {
		generated = `attgenerated <> ''`
	}
	if major >= 15 {
		whole = ` OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)`
	}
	return forSchema(schema, `SELECT jsonb_build_object(
'schema', n.nspname, 'owner', pg_get_userbyid(c.relowner), 'kind', c.relkind, 'unlogged', c.relpersistence = 'u',
'owned', pg_has_role(current_user, c.relowner, 'USAGE'), 'columns', a.types,
'may_use', has_schema_privilege(n.oid, 'USAGE'),
'may_select', a.may_select, 'may_update', a.may_update, 'may_insert', a.may_insert,
'identities', a.identities, 'generated', a.generated, 'required', a.required,
'policed', c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(current_user, c.relowner, 'USAGE'))
AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
'open', (SELECT bool_and(polpermissive) AND bool_or(polpermissive AND polcmd = '*'
AND EXISTS (SELECT FROM unnest(polroles) AS r WHERE r = 0 OR pg_has_role(current_user, r, 'USAGE'))
AND pg_get_expr(polqual, polrelid) = 'true' AND coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true')
FROM pg_policy WHERE polrelid = c.oid),
'triggers', (SELECT jsonb_agg(tgname ORDER BY tgname) FROM pg_trigger
WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype::int & 16 <> 0),
'rules', (SELECT jsonb_agg(rulename ORDER BY rulename) FROM pg_rewrite
WHERE ev_class = c.oid AND rulename <> '_RETURN' AND ev_enabled IN ('O', 'A') AND ev_type = '2'),
'checks', (SELECT jsonb_agg(conname ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid AND contype IN ('c', 'f')),
'published', EXISTS (SELECT FROM pg_publication p WHERE p.pubupdate AND (p.puballtables
OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)`+whole+`)),
'identified', c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
SELECT jsonb_object_agg(attname, format_type(atttypid, atttypmod)) AS types,
bool_and(has_column_privilege(c.oid, attnum, 'SELECT')) AS may_select,
bool_and(has_column_privilege(c.oid, attnum, 'UPDATE'))
FILTER (WHERE attname IN ('cluster_id', 'master', 'tstamp', 'tstamp_us')) AS may_update,
bool_and(has_column_privilege(c.oid, attnum, 'INSERT'))
FILTER (WHERE attname IN ('cluster_id', 'master', 'tstamp')) AS may_insert,
jsonb_agg(attname) FILTER (WHERE attname IN ('cluster_id', 'master', 'tstamp', 'tstamp_us') AND attidentity = 'a') AS identities,
jsonb_agg(attname) FILTER (WHERE attname IN ('cluster_id', 'master', 'tstamp', 'tstamp_us') AND `+generated+`) AS generated,
jsonb_agg(attname) FILTER (WHERE attname NOT IN ('cluster_id', 'master', 'tstamp')
AND attnotnull AND NOT atthasdef AND attidentity = '') AS required
FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a
WHERE n.nspname = $schema AND c.relname = 'heartbeat'`)
}

// The next statements find what keeps others from writing. Everybody may read
// them, but for how long a session of another role is at it.
const (
	blockersSQL = `SELECT coalesce(jsonb_agg(b), '[]') FROM (
SELECT coalesce(l.pid, 0) AS pid, l.mode, coalesce(x.gid, '') AS gid, coalesce(a.usename, '') AS role,
coalesce(a.application_name, '') AS application,
extract(epoch FROM now() - coalesce(x.prepared, a.xact_start))::bigint AS seconds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN (SELECT p.gid, p.prepared, o.virtualtransaction FROM pg_prepared_xacts p
JOIN pg_locks o ON o.pid IS NULL AND o.locktype = 'transactionid' AND o.transactionid = p.transaction) AS x
ON l.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND `

	tableBlockersSQL = blockersSQL + `l.locktype = 'relation'
AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.relation = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $schema AND c.relname = 'heartbeat') LIMIT 5) AS b`

	rowBlockersSQL = blockersSQL + `l.locktype = 'transactionid'
AND l.transactionid IN (SELECT xmax FROM public.heartbeat LIMIT 2) LIMIT 5) AS b`

	// The databases whose oldest transactions are the furthest back.
	agesSQL = `SELECT coalesce(jsonb_agg(d), '[]') FROM (SELECT datname AS database, age(datfrozenxid) AS age
FROM pg_database WHERE datallowconn ORDER BY age(datfrozenxid) DESC, datname LIMIT 20) AS d`

	eventTriggersSQL = `SELECT coalesce(jsonb_agg(e), '[]') FROM (
SELECT evtname AS name, evtenabled = 'A' AS always, evttags IS NULL OR 'CREATE TABLE' = ANY (evttags) AS creating,
evttags IS NULL OR 'ALTER TABLE' = ANY (evttags) AS altering
FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') AND evtevent IN ('ddl_command_start', 'ddl_command_end')
ORDER BY evtname LIMIT 20) AS e`
)

// forSchema returns sql for the table in a schema, with its name as a literal.
func forSchema(schema, sql string) string {
	if schema == "" {
		schema = "public"
	}
	return strings.ReplaceAll(in(schema, sql), "$schema", literal(schema))
}

// literal returns a text as SQL takes it, whatever standard_conforming_strings is.
func literal(text string) string {
	quoted := strings.ReplaceAll(text, "'", "''")
	if strings.Contains(quoted, `\`) {
		return `E'` + strings.ReplaceAll(quoted, `\`, `\\`) + `'`
	}
	return "'" + quoted + "'"
}

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
	SeesStats  bool `json:"sees_stats"`
	Recovering bool
	Client     string
	Segment    string
	Used       int64 // connections
}

// place is the schema in which the table is or would be made.
type place struct {
	There     bool
	MayUse    bool `json:"may_use"`
	MayCreate bool `json:"may_create"`
}

// account is what the server keeps of the role.
type account struct {
	Limit   int64  // of connections, below 0 for none
	Expires *int64 // seconds from now, nil for never
}

// relation is what has the name of the heartbeat table.
type relation struct {
	Schema    string
	Owner     string
	Kind      string // as in pg_class.relkind
	Owned     bool   // by the role, or by one that it is a member of
	Unlogged  bool
	Columns   map[string]string // types by name
	MayUse    bool              `json:"may_use"` // the schema
	MaySelect bool              `json:"may_select"`
	MayInsert bool              `json:"may_insert"`
	MayUpdate bool              `json:"may_update"`

	Identities []string // columns that take no value, always
	Generated  []string // likewise
	Required   []string // columns that a new row must have and will not have
	Policed    bool     // row level security holds for the role
	Open       bool     // by a policy that lets the role do all
	Triggers   []string // that run at a beat
	Rules      []string // likewise
	Checks     []string
	Published  bool // its updates
	Identified bool // it has a replica identity
}

// blocker is a session or a prepared transaction that holds what a beat needs.
type blocker struct {
	PID         int64 // 0 for a prepared transaction
	Mode        string
	GID         string // of a prepared transaction
	Role        string
	Application string
	Seconds     *int64 // for which it has been at it, nil if that is not to be seen
}

// oldest is a database, and how far its oldest transaction is back.
type oldest struct {
	Database string
	Age      int64
}

// eventTrigger may keep the table from being made or changed.
type eventTrigger struct {
	Name     string
	Always   bool
	Creating bool
	Altering bool
}

// decode reads the one value of an answer into target, which stays as it is if
// there is none. Texts are names and the like: they are made fit to be shown.
func decode(r reply, target any) {
	if r.err != nil || null(r.only(), 0) {
		return
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(r.only()[0]))
	d.UseNumber()
	// What does not fit stays unknown, as what the server refuses does.
	if d.Decode(&value) != nil {
		return
	}
	if data, err := json.Marshal(shown(value)); err == nil {
		_ = json.Unmarshal(data, target)
	}
}

// shown makes all texts in a JSON value fit to be shown.
func shown(value any) any {
	switch value := value.(type) {
	case string:
		return name(value)
	case []any:
		for i := range value {
			value[i] = shown(value[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(value))
		for key, v := range value {
			clean[name(key)] = shown(v)
		}
		return clean
	}
	return value
}
