package config

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// FuzzParse looks for files that break the parser, errors that say nothing, and
// configurations that should have been refused.
func FuzzParse(f *testing.F) {
	if text, err := os.ReadFile(samplePath); err == nil {
		f.Add(text)
	}
	for _, text := range []string{
		`{"dbname": "d", "user": "u"}`,
		with(`"heartbeat": "TZ=America/Sao_Paulo 0 0 29 2 ?", "query_timeout": 0.5`),
		with(`"heartbeat": "@every 1.5s", "max_sync_delay": 3, "nodes": [{"host": "[::1]", "max_sync_delay": 1}, {"host": "/a"}]`),
		with(`"triggers": {"slave_up": ["a", ""], "master_up": "b"}, "sslcert": "c", "sslkey": "k"`),
		with(`"triggers": {"slave_up": {"a": ["b"], "c": "d", "e": null}, "slave_down": {"": []}}`),
		"// c\n{\"a\": \"\\ud800\", \"a\": [1e999, {}]} x",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, _, err := Parse(data)
		if err != nil {
			checkErrors(t, err)
			return
		}
		checkConfig(t, cfg)
	})
}

func checkErrors(t *testing.T, err error) {
	var list Errors
	if !errors.As(err, &list) || len(list) == 0 {
		t.Fatalf("%T %v is not a filled Errors", err, err)
	}
	if !slices.IsSortedFunc(list, func(a, b Problem) int { return a.Line - b.Line }) {
		t.Errorf("not by line: %v", err)
	}
	for _, p := range list {
		if p.Text == "" || p.Line < 1 {
			t.Errorf("a problem without text or line: %+v", p)
		}
	}
}

// checkConfig checks what the rest of the program relies on.
func checkConfig(t *testing.T, c Config) {
	now := time.Date(2026, time.October, 25, 0, 30, 0, 1, time.UTC)
	positive := []time.Duration{c.ConnectTimeout, c.QueryTimeout, c.ConnectionLifetime,
		c.TriggerTimeout, c.Heartbeat.Interval, c.Heartbeat.Next(now).Sub(now)}
	ok := c.DBName != "" && c.User != "" && c.SSLMode != "" && c.IsSlaveStatement != "" &&
		c.LogFile != "" && c.PidFile != "" && c.StatusFile != "" && c.DaemonUser != "" &&
		(c.SSLCert == "") == (c.SSLKey == "") &&
		slices.Min(positive) > 0 && slices.Max(positive[:5]) <= maxSeconds*time.Second &&
		c.QueryTimeout <= c.QueryCeiling() && c.FailInterval >= 0 &&
		0 <= c.RecoverSyncDelay && c.RecoverSyncDelay <= c.MaxSyncDelay
	seen := map[string]bool{}
	for _, n := range c.Nodes {
		ok = ok && n.Node.Host != "" && 1 <= n.Node.Port && n.Node.Port <= 65535 && !seen[n.Node.String()] &&
			0 <= n.RecoverSyncDelay && n.RecoverSyncDelay <= n.MaxSyncDelay
		seen[n.Node.String()] = true
	}
	for _, named := range c.Triggers {
		ok = ok && len(named) > 0
		for _, command := range named {
			ok = ok && len(command) > 0 && command[0] != ""
		}
	}
	if !ok {
		t.Errorf("parsed, but not sound: %+v", c)
	}
}
