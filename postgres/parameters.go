package postgres

import (
	"strconv"
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

// session returns the parameters that every supported server knows and every
// role may set. They are sent when a session begins and go before all other
// settings but those of the server's command line. The server gives up on a lock
// before it gives up on the statement, and on that before we give up on the
// server.
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

		// A standby refuses every statement of a serializable transaction, and a
		// deferrable one may wait for a snapshot.
		"default_transaction_isolation":  "read committed",
		"default_transaction_deferrable": "off",
		// Where rows are hidden by policy the policy holds, rather than an error
		// even where it would hide none.
		"row_security":                        "on",
		"standard_conforming_strings":         "on",
		"idle_in_transaction_session_timeout": "0",
		"default_tablespace":                  "", // the role may have no right to another
		// Debugging of a role must not flood us.
		"client_min_messages": "warning",
		// No look is worth a process of its own, which force_parallel_mode wants.
		"max_parallel_workers_per_gather": "0",
	}
}

// sessionSQL returns the statements for what a server of that version knows and
// an older one would refuse a session for. Each stands for itself: what a server
// refuses of them is left out.
func sessionSQL(major int) []string {
	var all []string
	for _, p := range [...]struct {
		since int
		sql   string
	}{
		{11, `SET jit = off`}, // compiling takes longer than running
		{12, `SET default_table_access_method = heap`},
		{14, `SET idle_session_timeout = 0`},
		// Frees locks that a session waits for after its client is gone; not
		// every platform has it.
		{14, `SET client_connection_check_interval = '2s'`},
		{17, `SET transaction_timeout = 0`},
	} {
		if major >= p.since {
			all = append(all, p.sql)
		}
	}
	return all
}
