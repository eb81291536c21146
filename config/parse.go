package config

import (
	"log/slog"
	"slices"
	"time"
)

// Parse reads a configuration. It needs nothing but data: files are not looked
// for and the clock is not read. Its error is of type Errors.
func Parse(data []byte) (Config, []Warning, error) {
	tree, problem := parseSyntax(data)
	if problem != nil {
		return Config{}, nil, Errors{*problem}
	}
	sheet := newSheet(data)
	root := element{sheet: sheet, line: sheet.line(tree.StartOffset), value: tree.Value}
	var cfg Config
	if s, ok := root.section(); ok {
		cfg = s.config()
		s.close()
	}
	if len(sheet.problems) > 0 {
		slices.SortStableFunc(sheet.problems, func(a, b Problem) int { return a.Line - b.Line })
		return Config{}, sheet.warnings, sheet.problems
	}
	return cfg, sheet.warnings, nil
}

// config reads the whole file. Keys whose defaults follow from others come
// after those.
func (s *section) config() Config {
	var c Config
	s.access(&c)
	s.timing(&c)
	s.delays(&c)
	c.Triggers = s.triggers("triggers")
	c.TriggerTimeout = s.positive("trigger_timeout", 60*time.Second)
	s.process(&c)
	s.obsolete("min_sync_delay")
	return c
}

// access reads how to log on.
func (s *section) access(c *Config) {
	c.DBName = s.required("dbname")
	if c.DBName == "template0" || c.DBName == "template1" {
		e := s.members["dbname"]
		s.sheet.warnings = append(s.sheet.warnings, Warning{e.line, e.path,
			"while plusmoin is connected to " + c.DBName + ", CREATE DATABASE fails: name a database of its own, or postgres"})
	}
	c.User = s.required("user")
	c.Password = Secret(s.text("password", ""))
	c.PassFile = s.text("passfile", "")
	c.SSLMode = s.word("sslmode", "prefer",
		"disable", "allow", "prefer", "require", "verify-ca", "verify-full")
	c.SSLRootCert = s.text("sslrootcert", "")
	c.SSLCert = s.text("sslcert", "")
	c.SSLKey = s.text("sslkey", "")
	c.RequireAuth = s.choice("require_auth", "password", "md5", "gss", "sspi", "scram-sha-256", "none")
	c.ChannelBinding = s.word("channel_binding", "prefer", "disable", "prefer", "require")
	if !s.sound("sslcert", "sslkey") {
		return
	}
	if c.SSLCert != "" && c.SSLKey == "" {
		s.members["sslcert"].wrong("needs sslkey beside it")
	}
	if c.SSLKey != "" && c.SSLCert == "" {
		s.members["sslkey"].wrong("needs sslcert beside it")
	}
}

// timing reads the heartbeat and what must be in proportion to it.
func (s *section) timing(c *Config) {
	c.IsSlaveStatement = s.text("is_slave_statement", "SELECT pg_is_in_recovery()")
	c.ConnectTimeout = s.positive("connect_timeout", 60*time.Second)
	c.ConnectionLifetime = s.positive("connection_lifetime", 300*time.Second)
	c.Heartbeat = s.heartbeat("heartbeat", 60*time.Second)
	c.FailInterval = s.seconds("fail_interval", min(c.Heartbeat.Interval, 5*time.Second))
	ceiling := c.QueryCeiling() // by the defaults of what is wrong, which only raises it
	c.QueryTimeout = s.positive("query_timeout", ceiling)
	if c.QueryTimeout > ceiling {
		s.members["query_timeout"].wrong(
			"must be at most %s, the smallest of connect_timeout, heartbeat (if above 1 s, else 1 s) and 5 s",
			inSeconds(ceiling))
	}
}

// delays reads the limits of lag and the nodes they hold for.
func (s *section) delays(c *Config) {
	c.MaxSyncDelay = s.seconds("max_sync_delay", 120*time.Second)
	c.RecoverSyncDelay = s.seconds("recover_sync_delay", min(60*time.Second, c.MaxSyncDelay))
	s.checkLimits(c.MaxSyncDelay, c.RecoverSyncDelay)
	c.Nodes = s.nodes("nodes", limits{
		known:    s.sound("max_sync_delay", "recover_sync_delay"),
		max:      c.MaxSyncDelay,
		recovery: c.RecoverSyncDelay,
	})
}

// process reads what concerns the program itself.
func (s *section) process(c *Config) {
	c.LogFile = s.text("log_file", "/var/log/plusmoin/plusmoin.log")
	c.LogLevel = level(s.word("log_level", "error", "error", "info", "debug"))
	c.LogFormat = s.word("log_format", FormatText, FormatText, FormatJSON)
	c.DaemonUser = s.text("daemon_user", "nobody")
	c.PidFile = s.text("pid_file", "/var/run/plusmoin/plusmoin.pid")
	c.StatusFile = s.text("status_file", "/var/run/plusmoin/status.json")
	c.StateDir = s.text("state_dir", "")
}

func level(word string) slog.Level {
	switch word {
	case "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	}
	return slog.LevelError
}

// obsolete takes a key of the Python plusmoin that no longer means anything.
func (s *section) obsolete(key string) {
	if e, ok := s.take(key); ok {
		s.sheet.warnings = append(s.sheet.warnings, Warning{e.line, e.path, "has no effect and can be removed"})
	}
}
