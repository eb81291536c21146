package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
)

func TestPluginLine(t *testing.T) {
	r := reads(sample(), time.Second)
	line := func() string {
		return pluginLine(r, judge(r, r.UpdatedAt.Add(500*time.Millisecond)), r.UpdatedAt.Add(500*time.Millisecond))
	}
	want := "OK - all is well | clusters=1;;;0 masters=1;;;0 slaves=1;;;0 lost=0;;;0 clusterless=0;;;0 max_lag=0.250s;;;0 round=2.5ms;;;0 age=0.5s;;;0"
	if got := line(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	late := reads(sample(), time.Second)
	behind, slave := 75.0, late.Clusters[0].Slaves
	late.Clusters[0].Slaves, late.Clusters[0].Lost = nil, slave
	late.Document.Nodes["db2:5432"] = cluster.Detail{State: cluster.Lost, Lag: &behind}
	if got := performance(late, health{}, late.UpdatedAt); !strings.Contains(got, " slaves=0;;;0 lost=1;;;0 clusterless=0;;;0 max_lag=75.000s;;;0 ") {
		t.Errorf("of a slave that is lost by its lag: %s", got)
	}

	r.Warnings = []cluster.Warning{{Text: "a|b\x1b[2J\nc"}}
	if got, want := line(), "WARNING - a/b?[2J c | clusters=1"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}

	for i := range 1000 {
		r.Warnings = append(r.Warnings, cluster.Warning{Text: fmt.Sprintf("warning %d", i)})
	}
	if got := line(); len(got) > 900 || !strings.Contains(got, " more | ") {
		t.Errorf("%d bytes: %s", len(got), got)
	}

	r.killed = true
	if got := line(); !strings.HasPrefix(got, "CRITICAL - plusmoin was killed: ") || !strings.HasSuffix(got, " | age=0.5s;;;0") {
		t.Errorf("got %s", got)
	}
}

// TestPluginErrors has command lines that are wrong. A plug-in ends with 3 then
// and says why on standard output.
func TestPluginErrors(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"status --nagios --flag", "UNKNOWN - unknown flag: --flag (plusmoin status --help lists the options)\n"},
		{"status --nagios=perhaps", "UNKNOWN - invalid argument"},
		{"status --nagios --table", "UNKNOWN - --nagios prints one line"},
		{"status --nagios more", "UNKNOWN - status takes no argument"},
		{"stats --nagios", "UNKNOWN - unknown flag: --nagios"},
		{"status --nagios --status-file", "UNKNOWN - flag needs an argument"},
		{"status --nagios --status-file /nowhere/status.json", "UNKNOWN - plusmoin is not running: there is no /nowhere/status.json (plusmoin start starts it)\n"},
		{"status --nagios --status-file /dev/zero", "UNKNOWN - status file: "},
	} {
		var out, complaints bytes.Buffer
		code := run(context.Background(), strings.Fields(c.line), &out, &complaints)
		if code != unknown || !strings.HasPrefix(out.String(), c.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, printed %q %q, want %q", c.line, code, &out, &complaints, c.want)
		}
	}
}
