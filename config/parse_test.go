package config

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
)

// parse returns the configuration of a text that must be right.
func parse(t *testing.T, text string) Config {
	t.Helper()
	cfg, _, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return cfg
}

// with returns a configuration of the required keys and what is given.
func with(keys string) string {
	return `{"dbname": "d", "user": "u", ` + keys + `}`
}

func TestDefaults(t *testing.T) {
	want := Config{
		DBName:             "d",
		User:               "u",
		SSLMode:            "prefer",
		ChannelBinding:     "prefer",
		ConnectTimeout:     60 * time.Second,
		QueryTimeout:       5 * time.Second,
		ConnectionLifetime: 300 * time.Second,
		IsSlaveStatement:   "SELECT pg_is_in_recovery()",
		Heartbeat:          Heartbeat{Interval: 60 * time.Second},
		FailInterval:       5 * time.Second,
		MaxSyncDelay:       120 * time.Second,
		RecoverSyncDelay:   60 * time.Second,
		Triggers:           map[cluster.Kind]map[string][]string{},
		TriggerTimeout:     60 * time.Second,
		LogFile:            "/var/log/plusmoin/plusmoin.log",
		LogLevel:           slog.LevelError,
		LogFormat:          FormatText,
		DaemonUser:         "nobody",
		PidFile:            "/var/run/plusmoin/plusmoin.pid",
		StatusFile:         "/var/run/plusmoin/status.json",
	}
	got := parse(t, `{"dbname": "d", "user": "u"}`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	null := parse(t, with(`"password": null, "heartbeat": null, "triggers": null, "nodes": null, "log_level": null`))
	if !reflect.DeepEqual(null, want) {
		t.Errorf("with nulls got  %+v\nwant %+v", null, want)
	}
}

func TestEverySetting(t *testing.T) {
	got := parse(t, `
/* every key there is */
{
  "dbname": "d", "user": "u", "password": "p", "passfile": "/pass",
  "sslmode": "verify-full", "sslrootcert": "/root", "sslcert": "/cert", "sslkey": "/key",
  "require_auth": "!password,!md5", "channel_binding": "require",
  "connect_timeout": 2, "query_timeout": 0.75, "connection_lifetime": 1.005,
  "is_slave_statement": "SELECT true",
  "heartbeat": 0.5, "fail_interval": 0, "max_sync_delay": 30, "recover_sync_delay": 1.5e1,
  "nodes": [
    {"host": "a", "port": 5433, "cluster_name": "shop"},
    {"host": "[::1]", "max_sync_delay": 90, "recover_sync_delay": 80,}, // trailing comma
  ],
  "triggers": {
    "master_up": "echo up", "slave_up": ["/bin/echo", "", "up"],
    "slave_down": null, "master_down": "", "node_left": " ",
    "cluster_up": {"pgpool": "echo pgpool", "my pager": ["/bin/echo", "pager"], "none": null, "empty": " "},
    "cluster_gone": {}, "node_joined": {"none": null},
  },
  "trigger_timeout": 7, "log_file": "l", "log_level": "debug", "log_format": "json",
  "daemon_user": "me", "pid_file": "p.pid", "status_file": "s.json",
} // no newline at the end`)
	want := Config{
		DBName: "d", User: "u", Password: "p", PassFile: "/pass",
		SSLMode: "verify-full", SSLRootCert: "/root", SSLCert: "/cert", SSLKey: "/key",
		RequireAuth: "!password,!md5", ChannelBinding: "require",
		ConnectTimeout: 2 * time.Second, QueryTimeout: 750 * time.Millisecond,
		ConnectionLifetime: 1005 * time.Millisecond,
		IsSlaveStatement:   "SELECT true",
		Heartbeat:          Heartbeat{Interval: 500 * time.Millisecond},
		MaxSyncDelay:       30 * time.Second,
		RecoverSyncDelay:   15 * time.Second,
		Nodes: []cluster.NodeConfig{
			{Node: cluster.Node{Host: "a", Port: 5433}, ClusterName: "shop",
				MaxSyncDelay: 30 * time.Second, RecoverSyncDelay: 15 * time.Second},
			{Node: cluster.Node{Host: "::1", Port: 5432}, OwnLimit: true,
				MaxSyncDelay: 90 * time.Second, RecoverSyncDelay: 80 * time.Second},
		},
		Triggers: map[cluster.Kind]map[string][]string{
			cluster.MasterUp:  {"": {"/bin/sh", "-c", "echo up"}},
			cluster.SlaveUp:   {"": {"/bin/echo", "", "up"}},
			cluster.ClusterUp: {"pgpool": {"/bin/sh", "-c", "echo pgpool"}, "my pager": {"/bin/echo", "pager"}},
		},
		TriggerTimeout: 7 * time.Second,
		LogFile:        "l", LogLevel: slog.LevelDebug, LogFormat: FormatJSON,
		DaemonUser: "me", PidFile: "p.pid", StatusFile: "s.json",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	judging := cluster.Config{MaxSyncDelay: 30 * time.Second, Nodes: want.Nodes}
	if c := got.Cluster(); !reflect.DeepEqual(c, judging) {
		t.Errorf("Cluster() = %+v, want %+v", c, judging)
	}
}

// TestDependentDefaults is about defaults that follow from other keys.
func TestDependentDefaults(t *testing.T) {
	for _, c := range []struct {
		keys                 string
		query, fail, recover float64
	}{
		{`"heartbeat": 60`, 5, 5, 60},
		{`"heartbeat": 3`, 3, 3, 60},
		{`"heartbeat": 0.2`, 1, 0.2, 60},
		{`"heartbeat": 3, "connect_timeout": 2`, 2, 3, 60},
		{`"heartbeat": "@every 1500ms"`, 1.5, 1.5, 60},
		{`"heartbeat": "* * * * * *"`, 1, 1, 60},
		{`"heartbeat": "*/5 * * * *"`, 5, 5, 60},
		{`"max_sync_delay": 30`, 5, 5, 30},
		{`"max_sync_delay": 0`, 5, 5, 0},
		{`"max_sync_delay": 500`, 5, 5, 60},
	} {
		cfg := parse(t, with(c.keys))
		got := [3]float64{cfg.QueryTimeout.Seconds(), cfg.FailInterval.Seconds(), cfg.RecoverSyncDelay.Seconds()}
		if want := [3]float64{c.query, c.fail, c.recover}; got != want {
			t.Errorf("%s: query_timeout, fail_interval, recover_sync_delay = %v, want %v", c.keys, got, want)
		}
	}
}

// TestQuotedPort is about a configuration that the Python plusmoin took.
func TestQuotedPort(t *testing.T) {
	cfg, warnings, err := Parse([]byte("{\"dbname\": \"d\", \"user\": \"u\", \"nodes\": [\n{\"host\": \"a\", \"port\": \"5433\"}]}"))
	if err != nil || len(cfg.Nodes) != 1 || cfg.Nodes[0].Node.Port != 5433 {
		t.Fatalf("got %+v, %v", cfg.Nodes, err)
	}
	want := []Warning{{Line: 2, Key: "nodes[0].port", Text: "write the number without quotes"}}
	if !reflect.DeepEqual(warnings, want) {
		t.Errorf("warned of %v, want %v", warnings, want)
	}
}

// TestNodeLimits is about what a node's own limits make of the global ones.
func TestNodeLimits(t *testing.T) {
	for _, c := range []struct {
		node     string
		max, rec float64
		own      bool
	}{
		{``, 100, 40, false},
		{`, "max_sync_delay": 3700`, 3700, 3640, true},
		{`, "max_sync_delay": 30`, 30, 0, true},
		{`, "recover_sync_delay": 90`, 100, 90, false},
		{`, "max_sync_delay": 30, "recover_sync_delay": 30`, 30, 30, true},
		{`, "max_sync_delay": null`, 100, 40, false},
	} {
		cfg := parse(t, with(`"max_sync_delay": 100, "recover_sync_delay": 40, "nodes": [{"host": "a"`+c.node+`}]`))
		n := cfg.Nodes[0]
		if n.MaxSyncDelay.Seconds() != c.max || n.RecoverSyncDelay.Seconds() != c.rec || n.OwnLimit != c.own {
			t.Errorf("node with %q: got %+v, want %v, %v, own %v", c.node, n, c.max, c.rec, c.own)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct{ host, want string }{
		{"db1", "db1"},
		{"DB_1.example.com.", "DB_1.example.com."},
		{"10.0.0.1", "10.0.0.1"},
		{"::1", "::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"fe80::1%eth0", "fe80::1%eth0"},
		{"/var/run/postgresql", "/var/run/postgresql"},
		{"1password.example.com", "1password.example.com"},
	} {
		if got, err := parseHost(c.host); got != c.want || err != nil {
			t.Errorf("parseHost(%q) = %q, %v, want %q", c.host, got, err, c.want)
		}
	}
	for _, host := range []string{
		"a b", "a,b", "a:5432", "[::1]:5432", "[::1", "::1]", "[10.0.0.1]", "10.0.0.256", "1.2.3",
		"", "a..b", ".", "var/run", "@abstract", "höst", "1::2::3", strings.Repeat("a", 64), "a\n",
	} {
		if got, err := parseHost(host); err == nil {
			t.Errorf("parseHost(%q) = %q, want an error", host, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := Parse([]byte("{\"dbname\": \"d\", \"user\": \"u\",\n\"min_sync_delay\": \"any\"}"))
	want := []Warning{{Line: 2, Key: "min_sync_delay", Text: "has no effect and can be removed"}}
	if err != nil || !reflect.DeepEqual(warnings, want) {
		t.Errorf("got %v, %v, want %v", warnings, err, want)
	}
	for _, name := range []string{"template0", "template1"} {
		_, warnings, err := Parse([]byte(`{"dbname": "` + name + `", "user": "u"}`))
		if err != nil || len(warnings) != 1 || warnings[0].Key != "dbname" || warnings[0].Line != 1 {
			t.Errorf("%s gives %v, %v", name, warnings, err)
		}
	}
	if _, warnings, err := Parse([]byte(`{"dbname": "d", "user": "u"}`)); err != nil || len(warnings) != 0 {
		t.Errorf("a plain file gives %v, %v", warnings, err)
	}
}

func TestDiff(t *testing.T) {
	running := parse(t, with(`"nodes": []`))
	if got := Diff(running, parse(t, with(`"heartbeat": 1, "log_file": "x"`))); len(got) != 0 {
		t.Errorf("Diff of what a reload can change = %v", got)
	}
	wanted := parse(t, with(`"status_file": "s", "daemon_user": "me", "pid_file": "p", "log_file": "l"`))
	want := []string{"daemon_user", "pid_file", "status_file"}
	if got := Diff(running, wanted); !reflect.DeepEqual(got, want) {
		t.Errorf("Diff = %v, want %v", got, want)
	}
}
