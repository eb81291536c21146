package demo

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

// sample is what a trigger might read, with marks of JSON within a string.
const sample = `{"cluster_id":0,"has_master":true,"trigger":{"host":"a, b: \"c\"","port":5432,"cluster_id":-1,` +
	`"is_slave":true,"master_name":"127.0.0.1:5433"},"master":null,"slaves":[{"host":"s1","port":1},{"host":"s2","port":2}],` +
	`"lost":[],"clusterless":[],"event":"slave_up","event_id":7,"diagnosis":"ok","nodes":{}}`

// TestAnyWidth checks that what is shown of a payload is JSON and says the
// same, however narrow the terminal is.
func TestAnyWidth(t *testing.T) {
	for width := range 200 {
		var text bytes.Buffer
		s := &screen{out: &text, width: width}
		s.payload([]byte(sample))
		var shown struct {
			Event   string
			Trigger cluster.Entry
			Slaves  []cluster.Entry
		}
		if err := json.Unmarshal(text.Bytes(), &shown); err != nil {
			t.Fatalf("width %d: %v\n%s", width, err, &text)
		}
		if shown.Event != "slave_up" || shown.Trigger.Host != `a, b: "c"` || len(shown.Slaves) != 2 {
			t.Fatalf("width %d: %+v", width, shown)
		}
		for line := range strings.Lines(text.String()) {
			if len(line)-1 > width && width >= 60 {
				t.Errorf("width %d: %q is wider", width, line)
			}
		}
		s.prose("some words and a-rather-long-one-with-no-space")
		s.table(status.Document{Snapshot: cluster.Snapshot{Clusterless: []cluster.Entry{{Host: "h", Port: 1}}}}, nil)
	}
}

func TestColoursAreOnTop(t *testing.T) {
	var with, without bytes.Buffer
	(&screen{out: &with, width: 70, colour: true}).payload([]byte(sample))
	(&screen{out: &without, width: 70}).payload([]byte(sample))
	bare := with.String()
	for _, as := range []style{"0", green, yellow, cyan} {
		bare = strings.ReplaceAll(bare, "\x1b["+string(as)+"m", "")
	}
	if bare != without.String() {
		t.Errorf("with colours:\n%s\nwithout:\n%s", bare, &without)
	}
	if !strings.Contains(with.String(), "\x1b[36m\"slaves\"\x1b[0m") {
		t.Errorf("no key has its colour:\n%q", &with)
	}
}

// TestOutcome shows that neither a missing event nor one too many passes.
func TestOutcome(t *testing.T) {
	down, up := event{cluster.SlaveDown, 0, "h:1"}, event{cluster.SlaveUp, 0, "h:1"}
	tell := func(events ...event) report {
		var r report
		for _, e := range events {
			node := &cluster.Entry{Host: "h", Port: 1}
			r.told = append(r.told, told{Payload: cluster.Payload{Event: e.kind, ClusterID: e.cluster, Trigger: node}, at: time.Now()})
		}
		lag := 0.0
		r.doc.Clusters = []cluster.Cluster{{Slaves: []cluster.Entry{{Host: "h", Port: 1, MasterName: "m:1"}}}}
		r.doc.Nodes = map[string]cluster.Detail{"h:1": {Lag: &lag}}
		return r
	}
	stands := []standing{{"h:1", cluster.Slave, 0, "m:1"}}
	for _, c := range []struct {
		name           string
		outcome        outcome
		told           []event
		missing, extra string
	}{
		{"as it should be", outcome{told: []event{down}, shown: stands}, []event{down}, "", ""},
		{"not told", outcome{told: []event{down, up}}, []event{down}, "slave_up of h:1 in cluster 0", ""},
		{"not shown", outcome{shown: []standing{{"h:1", cluster.Lost, 0, ""}}}, nil, "the status file showing h:1 as lost in cluster 0", ""},
		{"follows another", outcome{shown: []standing{{"h:1", cluster.Slave, 0, "n:1"}}}, nil,
			"the status file showing h:1 as slave in cluster 0, following n:1", ""},
		{"told twice", outcome{told: []event{down}}, []event{down, down}, "", "slave_down of h:1 in cluster 0"},
		{"may be told", outcome{maybe: []event{up}}, []event{up}, "", ""},
		{"must not be told", outcome{}, []event{up}, "", "slave_up of h:1 in cluster 0"},
	} {
		r := tell(c.told...)
		if got := r.missing(c.outcome); got != c.missing {
			t.Errorf("%s: missing %q", c.name, got)
		}
		extra := ""
		if e, ok := r.superfluous(c.outcome); ok {
			extra = e.String()
		}
		if extra != c.extra {
			t.Errorf("%s: superfluous %q", c.name, extra)
		}
	}
}
