package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plusmoin/cluster"
)

func TestTable(t *testing.T) {
	d := sample()
	hostile := "relation \x1b[2J\nmissing"
	d.Nodes["db2:5432"] = cluster.Detail{State: cluster.Slave, Suspect: true, Since: d.UpdatedAt, Error: &hostile}
	local := d.UpdatedAt.Local().Add(-90 * time.Second).Format(time.DateTime)
	var out strings.Builder
	view := tableView{out: &out, now: d.UpdatedAt.Add(500 * time.Millisecond)}
	if err := view.show(reads(d, time.Second), judge(reads(d, time.Second), view.now)); err != nil {
		t.Fatal(err)
	}
	want := `WARNING: db2:5432 is suspect
plusmoin 1.0, running, round 7 in 2.5 ms, heartbeat 1 s, written 0.5s ago

NODE        STATE           LAG  SINCE                FOR    REASON
cluster 0: ok
  db1:5432  master          -    ` + local + `  1m30s
  db2:5432  slave, suspect  -    ` + d.UpdatedAt.Local().Format(time.DateTime) + `  0.5s   relation ?[2J missing
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	view.colour = true
	if err := view.show(reads(d, time.Second), health{}); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{"\x1b[32mmaster\x1b[0m          -  ", "\x1b[33mslave, suspect\x1b[0m  -  "} {
		if !strings.Contains(out.String(), wanted) {
			t.Errorf("no %q in\n%q", wanted, out.String())
		}
	}
}

// TestTableExplains has a cluster without a master, one that was split off it,
// and lost nodes that wait for something.
func TestTableExplains(t *testing.T) {
	d := sample()
	data := []byte(`{"clusters": [
		{"cluster_id": 0, "evidence": {"hears": [], "cut": ["a:1", "b:1", "c:1", "d:1", "e:1"], "silent": ["f:1"], "last_word": "FATAL:  shut\u001b[2J down"}},
		{"cluster_id": 1, "split_from": 0}, {"cluster_id": 2, "split_from": "odd"}, {"cluster_id": 3, "split_from": 0}, 5]}`)
	lost := cluster.Entry{Host: "db2", Port: 5432, IsSlave: true, MasterName: "db9:5432"}
	d.Clusters[0] = cluster.Cluster{Diagnosis: cluster.DeadMaster, Lost: []cluster.Entry{*d.Clusters[0].Master, lost}}
	d.Clusters = append(d.Clusters, cluster.Cluster{ID: 1, HasMaster: true, Diagnosis: cluster.SplitOff,
		Master: &cluster.Entry{Host: "db3", Port: 5432}, Lost: []cluster.Entry{{Host: "db4", Port: 5432, IsSlave: true, MasterName: "db9:5432"}}})
	d.Clusters = append(d.Clusters, cluster.Cluster{ID: 3, Diagnosis: cluster.DeadMaster, Lost: []cluster.Entry{{Host: "db5", Port: 5432}}})
	d.Clusterless = []cluster.Entry{{Host: "db6", Port: 5432}}
	d.Nodes["db5:5432"] = cluster.Detail{State: cluster.Lost, Reason: textOf(cluster.ReasonOtherSystem)}
	d.Nodes["db6:5432"] = cluster.Detail{State: cluster.Clusterless, Reason: textOf(cluster.ReasonAlias)}
	lag, stamp := 75.25, 1.0
	d.Nodes["db1:5432"] = cluster.Detail{State: cluster.Lost, Reason: textOf(cluster.ReasonRefused)}
	d.Nodes["db2:5432"] = cluster.Detail{State: cluster.Lost, Reason: textOf(cluster.ReasonLag), Lag: &lag, ReplayPaused: cluster.Yes}
	d.Nodes["db3:5432"] = cluster.Detail{State: cluster.Master, SyncBlocked: cluster.Yes}
	d.Nodes["db4:5432"] = cluster.Detail{State: cluster.Lost, Reason: textOf(cluster.ReasonUnproven), Timestamp: &stamp}
	r := reads(d, time.Second)
	r.words = wordsOf(data)
	r.cfg.Nodes = []cluster.NodeConfig{{Node: cluster.Node{Host: "db2", Port: 5432}, RecoverSyncDelay: time.Minute}}
	var out strings.Builder
	if err := (tableView{out: &out, now: d.UpdatedAt}).show(r, health{}); err != nil {
		t.Fatal(err)
	}
	want := `OK: all is well
plusmoin 1.0, running, round 7 in 2.5 ms, heartbeat 1 s, written 0.0s ago

NODE        STATE        LAG    SINCE  FOR  REASON
cluster 0: dead_master (the master does not answer and no slave hears from it; promote on this word and on no other)
  db1:5432  lost         -      -      -    refused
  db2:5432  lost         75.2s  -      -    lag: it is too far behind and comes up at a lag of 60s (recover_sync_delay) or less; its replay is paused
  hears it: none; cut off: a:1, b:1, c:1, d:1 and 1 more; silent: f:1; its last word: FATAL:  shut?[2J down
cluster 1: split_off from cluster 0 (it was split from a cluster of the same system: its data is stale or strange, send nobody there)
  db3:5432  master       -      -      -    commits wait for a synchronous standby that is not there (sync_blocked)
  db4:5432  lost         -      -      -    unproven: its heartbeat row is one of db9:5432; waits until it has replayed a new beat of db3:5432
cluster 3: dead_master, split off from cluster 0 (its data is stale or strange: promote nothing here)
  db5:5432  lost         -      -      -    other_system: its data is not of this cluster's system: it was initialised anew, or is of another cluster
no cluster
  db6:5432  clusterless  -      -      -    alias: it is a master that is known by another name already: take one of the two out of nodes
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestUnproven(t *testing.T) {
	stamp := 1.0
	master := cluster.Cluster{Master: &cluster.Entry{Host: "m", Port: 1}}
	for _, c := range []struct {
		in    cluster.Cluster
		entry cluster.Entry
		d     cluster.Detail
		want  string
	}{
		{master, cluster.Entry{}, cluster.Detail{}, "it answers as a master, and has not shown that it continues this cluster"},
		{cluster.Cluster{}, cluster.Entry{IsSlave: true}, cluster.Detail{},
			"it has no heartbeat row; waits until it has replayed a new beat of the last master"},
		{master, cluster.Entry{IsSlave: true, MasterName: "m:1"}, cluster.Detail{Timestamp: &stamp},
			"it answers, and waits until it has replayed a new beat of m:1 and answered for fail_interval"},
	} {
		if got := unproven(c.in, c.entry, c.d); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestEveryDiagnosisIsExplained(t *testing.T) {
	for _, d := range diagnoses() {
		if meaning(d) == "" {
			t.Errorf("%s is not explained", d)
		}
		if promote := strings.Contains(meaning(d), "promote on this"); promote != (d == cluster.DeadMaster) {
			t.Errorf("%s: %s", d, meaning(d))
		}
	}
	if meaning("odd") != "" {
		t.Error("a word that is not known is explained")
	}
}

// TestEscaped has what JSON allows in a string and a terminal obeys.
func TestEscaped(t *testing.T) {
	text := "{\"a\": \"caf\u00e9 \u009b2J \u202e \x7f \U000e0001\",\n\t\"b\": [\"\\u001b\"]}"
	got := escaped([]byte(text))
	if want := "{\"a\": \"caf\u00e9 \\u009b2J \\u202e \\u007f \\udb40\\udc01\",\n\t\"b\": [\"\\u001b\"]}"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var before, after any
	if json.Unmarshal([]byte(text), &before) != nil || json.Unmarshal(got, &after) != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%s is not the same JSON", got)
	}
	if bad := escaped([]byte("\"\x9b\"")); !bytes.Equal(bad, []byte(`"\ufffd"`)) {
		t.Errorf("got %q", bad)
	}
}
