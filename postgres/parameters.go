package postgres

import (
	"strconv"
	"strings"
	"time"
)

// A cluster, a database and a role can each have settings that a session
// inherits. This file sets those that could change what a look or a beat does,
// or that could end the session between two of them. What is not here changes
// nothing: no statement of this package depends on the search_path, on how dates,
// floats or bytes are written, on a time zone or on the language of messages.
//
// Two are left as they are on purpose. default_transaction_read_only is how
// operators fence a server: a master on which it is set must be seen not to take
// its beats. And is_slave_statement is the user's own: it is found by the
// search_path that the role has.

// session returns the parameters with which a session begins. They go before all
// other settings but those of the server's command line. The server gives up on a
// lock before it gives up on the statement, and on that before we give up on the
// server. There are no more of them because a pooler must be told to let each
// pass; what can be set later is in sessionSQL.
func (s Settings) session() map[string]string {
	millis := func(d time.Duration) string {
		return strconv.FormatInt(max(1, d.Milliseconds()), 10)
	}
	return map[string]string{
		"application_name": "plusmoin",
		"client_encoding":  "UTF8",
		// A missing synchronous standby must not hang the monitor.
		"synchronous_commit": "local",
		"lock_timeout":       millis(s.QueryTimeout * 3 / 5),
		"statement_timeout":  millis(s.QueryTimeout * 4 / 5),
	}
}

// sessionSQL returns the statements that set up the session of a process of a
// server of that version. The sessions of a pooler are others' as well and not ours
// to change: where another process answers, nothing is set. What a server refuses
// of them is left out.
func sessionSQL(major int, pid uint32) []string {
	mine := `CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) ` + strconv.FormatUint(uint64(pid), 10) + ` THEN `
	var all []string
	for _, group := range sessionSettings {
		var values []string
		for _, p := range group {
			if major >= p.since {
				values = append(values, mine+`pg_catalog.set_config('`+p.name+`', '`+p.value+`', false) END`)
			}
		}
		if len(values) > 0 {
			all = append(all, `SELECT `+strings.Join(values, `, `))
		}
	}
	return all
}

type setting struct {
	since       int // major version that knows it
	name, value string
}

// sessionSettings are in groups of which each is set or refused as a whole.
var sessionSettings = [...][]setting{
	{
		{11, "jit", "off"}, // compiling takes longer than running
		{17, "transaction_timeout", "0"},
		{14, "idle_session_timeout", "0"},
		{10, "idle_in_transaction_session_timeout", "0"},
		{10, "default_transaction_isolation", "read committed"},
		{10, "default_transaction_deferrable", "off"}, // else a statement may wait for its snapshot
		// Where rows are hidden by policy the policy holds, rather than an error
		// even where it would hide none.
		{10, "row_security", "on"},
		{10, "standard_conforming_strings", "on"},
		{10, "default_tablespace", ""}, // the role may have no right to another
		{12, "default_table_access_method", "heap"},
		{10, "client_min_messages", "warning"}, // debugging of the role must not flood us
		// No look is worth a process of its own, which force_parallel_mode wants.
		{10, "max_parallel_workers_per_gather", "0"},
	},
	// Frees locks that a session waits for after its client is gone. Not every
	// platform has it.
	{{14, "client_connection_check_interval", "2s"}},
}

// standbySQL makes a standby answer where transactions are serializable: it refuses
// every statement that reads, and so those of sessionSQL.
const standbySQL = `SET default_transaction_isolation = 'read committed'`

// localCommit makes an update wait for no synchronous standby, where it is not
// known that the session does so.
const localCommit = ` AND pg_catalog.set_config('synchronous_commit', 'local', true) OPERATOR(pg_catalog.=) 'local'`
