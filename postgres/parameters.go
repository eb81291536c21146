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

// sessionSQL returns what sets up a session with a server of that version. Each
// stands for itself: what a server refuses of them is left out.
func sessionSQL(major int) []string {
	all := []string{everywhereSQL}
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

// everywhereSQL is what every supported server knows and every role may set.
//
//   - A standby refuses every statement of a serializable transaction, and one that
//     is deferrable may wait for its snapshot.
//   - Where rows are hidden by policy the policy holds, rather than an error even
//     where it would hide none.
//   - The role may have no right to its default tablespace.
//   - Debugging of the role must not flood us, and no look is worth a process of its
//     own, which force_parallel_mode wants.
const everywhereSQL = `SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; ` +
	`SET row_security = on; SET standard_conforming_strings = on; SET idle_in_transaction_session_timeout = 0; ` +
	`SET default_tablespace = ''; SET client_min_messages = warning; SET max_parallel_workers_per_gather = 0`

// localCommit makes an update wait for no synchronous standby, where it is not
// known that the session does so.
const localCommit = ` AND pg_catalog.set_config('synchronous_commit', 'local', true) OPERATOR(pg_catalog.=) 'local'`
