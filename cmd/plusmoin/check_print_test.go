package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/postgres"
)

// Whatever a server says is printed on lines of its own colour and cannot steer
// the terminal.
func TestCheckPrintsWhatServersSayHarmlessly(t *testing.T) {
	n := cluster.Node{Host: "m", Port: 5432}
	c := check{
		cfg: config.Config{Nodes: []cluster.NodeConfig{{Node: n}}},
		now: time.Unix(1_800_000_000, 0),
		seen: []postgres.Inspection{{
			Node: n, Version: "15\x1b[2J",
			Rows:     []cluster.Row{{Cluster: 4, Master: "evil\x1b]0;x\a\n" + strings.Repeat("long ", 40), Stamp: 1_799_999_000_000_000}},
			Standbys: []postgres.Standby{{Application: "a\x1b[31m\nb", Client: "::1"}},
		}},
	}
	for _, colour := range []bool{false, true} {
		var out bytes.Buffer
		p := printer{out: &out, colour: colour}
		reports := c.reports()
		for _, r := range reports {
			p.node(r)
		}
		if err := p.summary([]postgres.Finding{note("general")}, reports); err != nil {
			t.Error(err)
		}
		text := out.String()
		marks := strings.NewReplacer("\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(text)
		if colour == (marks == text) || strings.ContainsAny(marks, "\x1b\a") {
			t.Errorf("colour %v: %q", colour, text)
		}
		if !strings.Contains(marks, "written 17 minutes ago") || !strings.HasSuffix(marks, "1 node, 0 problems, 3 notes: plusmoin can do its work\n") {
			t.Errorf("printed\n%s", marks)
		}
	}
}

func TestCheckSummary(t *testing.T) {
	bad := report{findings: []postgres.Finding{problem("a"), problem("b"), note("c")}}
	for _, c := range []struct {
		general []postgres.Finding
		reports []report
		want    string
		code    int
	}{
		{nil, nil, "0 nodes, 0 problems, 0 notes: there is nothing to watch\n", 0},
		{[]postgres.Finding{fine("valid")}, []report{{}, {findings: []postgres.Finding{fine("x"), note("y")}}}, "2 nodes, 0 problems, 1 note: plusmoin can do its work\n", 0},
		{nil, []report{{}, bad}, "2 nodes, 2 problems, 1 note: plusmoin cannot do its work on 1 node\n", 1},
		{[]postgres.Finding{problem("d")}, []report{{}}, "1 node, 1 problem, 0 notes: plusmoin cannot do its work\n", 1},
	} {
		var out bytes.Buffer
		var code exitCode
		errors.As(printer{out: &out}.summary(c.general, c.reports), &code)
		if out.String() != c.want || code.code != c.code {
			t.Errorf("%q and code %d, want %q and %d", out.String(), code.code, c.want, c.code)
		}
	}
}

func TestSlavesOfOneAddressAreToldApartByName(t *testing.T) {
	node := func(host, name string, slave bool) postgres.Inspection {
		return postgres.Inspection{Node: cluster.Node{Host: host, Port: 5432}, ClusterName: name, Slave: slave}
	}
	down := postgres.Inspection{Node: cluster.Node{Host: "s3", Port: 5432}, Reason: cluster.ReasonRefused}
	for _, tc := range []struct {
		name     string
		standbys []postgres.Standby
		others   []postgres.Inspection
		want     string
	}{
		{"all listed", []postgres.Standby{{Application: "walreceiver", Client: "10.0.0.2"}}, []postgres.Inspection{node("s2", "", true)}, ""},
		{"one of two", []postgres.Standby{{Application: "x", Client: "10.0.0.2"}, {Application: "y", Client: "10.0.0.2"}},
			[]postgres.Inspection{node("s2", "y", true)}, "on 10.0.0.2 that is no node of the configuration (application_name x)"},
		{"two of one name", []postgres.Standby{{Application: "walreceiver", Client: "10.0.0.9"}, {Application: "walreceiver", Client: "10.0.0.9"}},
			nil, "(application_name walreceiver)"},
		{"another address", []postgres.Standby{{Application: "x", Client: "10.0.0.9"}}, []postgres.Inspection{node("s2", "x", true)}, "10.0.0.9"},
		{"perhaps the one that is down", []postgres.Standby{{Application: "x", Client: "10.0.0.3"}}, []postgres.Inspection{down}, ""},
		{"a master is no slave", []postgres.Standby{{Application: "x", Client: "10.0.0.2"}}, []postgres.Inspection{node("s2", "x", false)}, "10.0.0.2"},
	} {
		master := node("m", "m", false)
		master.Standbys = tc.standbys
		c := check{
			seen:      append([]postgres.Inspection{master}, tc.others...),
			addresses: map[string][]string{"m": {"10.0.0.1"}, "s2": {"10.0.0.2"}, "s3": {"10.0.0.3"}},
		}
		var got string
		for _, f := range c.unlisted(master) {
			got += f.Text
		}
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
