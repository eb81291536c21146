package config

// Key is one key of the configuration file, as a manual shows it.
type Key struct {
	Name    string
	Default string // as it stands in the file, or words; "" if the key is required
	Text    string // one or two sentences
}

// Keys returns all keys of the file, in the order of plusmoin.json.example.
func Keys() []Key {
	return []Key{
		{"dbname", "", "The database that holds the heartbeat table."},
		{"user", "", "The role to log on as."},
		{"password", "none", "Its password. The file should then be root's, and readable by the group of daemon_user alone (chgrp, mode 0640)."},
		{"passfile", "none", "A file of passwords in the format of .pgpass."},
		{"sslmode", `"prefer"`, "TLS as libpq knows it: disable, allow, prefer, require, verify-ca or verify-full."},
		{"sslrootcert", "none", "The certificates that servers are checked against."},
		{"sslcert", "none", "The certificate to log on with; needs sslkey."},
		{"sslkey", "none", "The key of that certificate."},
		{"require_auth", "any", "How a server may have plusmoin log on, by libpq's words: password, md5, gss, sspi, scram-sha-256, none, with commas between them, or the same with ! before each."},
		{"channel_binding", "prefer", "Whether SCRAM is bound to TLS: disable, prefer or require."},
		{"connect_timeout", "60", "How long connecting to a server may take."},
		{"query_timeout", "the highest that is allowed", "How long a server may take to answer; at most the smallest of connect_timeout, heartbeat (counted as at least 1) and 5."},
		{"connection_lifetime", "300", "After how long a connection is replaced by a new one."},
		{"is_slave_statement", `"SELECT pg_is_in_recovery()"`, "The statement that is true on a slave and false on a master."},
		{"heartbeat", "60", `How often to look at all nodes: a number of seconds, a duration such as "2s", "500ms" or "1m30s", or a cron expression such as "*/5 * * * *".`},
		{"fail_interval", "the smaller of heartbeat and 5", "A node is down once it has not answered for this long; 0: at once."},
		{"max_sync_delay", "120", "A slave that lags more than this is down. Can be set per node."},
		{"recover_sync_delay", "the smaller of max_sync_delay and 60", "A slave must not lag more than this to come up again. Can be set per node."},
		{"nodes", "[]", "The servers to look at, each once: objects with host, port (5432), and, where wanted, cluster_name (a label), max_sync_delay and recover_sync_delay."},
		{"triggers", "{}", "The command to run at each event; see TRIGGERS."},
		{"trigger_timeout", "60", "A command that runs longer than this is ended."},
		{"log_file", `"/var/log/plusmoin/plusmoin.log"`, "Where the daemon logs to."},
		{"log_level", `"error"`, "How much to log: error, info or debug. What goes down and what comes up is logged at error."},
		{"log_format", `"text"`, "How to write the log: text or json."},
		{"daemon_user", `"nobody"`, "The user to run as. Restart."},
		{"pid_file", `"/var/run/plusmoin/plusmoin.pid"`, "Where the process id is kept. Restart."},
		{"state_dir", "none", "The directory that keeps what is to outlast plusmoin: with it a restart is like a suspension. Restart."},
		{"status_file", `"/var/run/plusmoin/status.json"`, "Where the state of all nodes is written. Restart."},
	}
}
