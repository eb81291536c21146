package cluster_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"plusmoin/cluster"
)

// told returns a script of a split with a lost slave, an alias and a clusterless
// node.
func told(t testing.TB) *script {
	t.Helper()
	s := &script{}
	_, err := s.block(`servers m1 master, s1 follows m1, s2 follows m1, s3 follows m1, vip is s1, x master
nodes m1 s1 s2 s3 vip x
state on
on
run 10s
kill m1 s3 x
promote s1
follow s2 s1
run 5s
boot m1
run 10s`)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSaved saves and restores: every place, id and label of time is as it was,
// and saving anew gives the same.
func TestSaved(t *testing.T) {
	m := told(t).monitor
	saved := m.state.Save()
	restored, err := cluster.Restore(m.moment(), m.configured(), saved)
	if err != nil {
		t.Fatal(err)
	}
	before, after := m.state.Snapshot(), restored.Snapshot()
	if a, b := spots(before), spots(after); !maps.Equal(a, b) {
		t.Errorf("restored %v\nsaved    %v", b, a)
	}
	for name, d := range before.Nodes {
		if !after.Nodes[name].Since.Equal(d.Since) {
			t.Errorf("%s is there since %v, was since %v", name, after.Nodes[name].Since, d.Since)
		}
	}
	if !after.Starting {
		t.Error("a restored State has to start")
	}
	again := restored.Save()
	if a, b := timeless(t, saved), timeless(t, again); a != b {
		t.Errorf("saved  %s\nagain  %s", a, b)
	}
}

// timeless returns what was saved without when.
func timeless(t *testing.T, saved []byte) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(saved, &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "saved_at")
	delete(all, "stamp")
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSavedUnderAnotherConfiguration restores with nodes that came and went.
func TestSavedUnderAnotherConfiguration(t *testing.T) {
	m := told(t).monitor
	saved := m.state.Save()
	m.nodes = []string{"new", "s2", "s1"}
	restored, err := cluster.Restore(m.moment(), m.configured(), saved)
	if err != nil {
		t.Fatal(err)
	}
	want := map[cluster.Node]spot{
		node("new"): {cluster.NoCluster, cluster.Clusterless}, node("s2"): {0, cluster.Slave}, node("s1"): {0, cluster.Master},
	}
	if got := spots(restored.Snapshot()); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSavedNonsense damages what was saved in ways that a disk, a person or
// another version may. Each is refused, with a word on what is wrong.
func TestSavedNonsense(t *testing.T) {
	m := told(t).monitor
	saved := string(m.state.Save())
	for _, c := range []struct{ old, by, says string }{
		{saved, "", "unexpected end"},
		{saved[len(saved)/2:], "", "unexpected end"},
		{`"version":1`, `"version":2`, "version 2"},
		{`"version":1`, `"version":1,"more":1`, "unknown field"},
		{`"highest_id":2`, `"highest_id":-7`, "highest id -7"},
		{`"place":"slave"`, `"place":"master"`, "second master"},
		{`"place":"slave"`, `"place":"somewhere"`, "no place"},
		{`"place":"slave"`, `"place":"clusterless"`, "clusterless in a cluster"},
		{`"host":"s2"`, `"host":"s1"`, "stands twice"},
		{`{"id":1,`, `{"id":0,`, "stands twice"},
		{`{"id":1,`, `{"id":9,`, "not there"},
		{`{"id":1,`, `{"id":-1,`, "no id"},
		{`"last_master":"s1:5432"`, `"last_master":"m9:5432"`, "not of its line"},
		{`"last_master":"s1:5432"`, `"last_master":"m1:5432"`, "the last master is"},
		{`"split_from":0,`, `"split_from":-9,`, "split from -9"},
		{`"event_id":`, `"event_id":-`, "out of range"},
	} {
		damaged := strings.Replace(saved, c.old, c.by, 1)
		if damaged == saved {
			t.Errorf("%s is not in %s", c.old, saved)
			continue
		}
		_, err := cluster.Restore(m.moment(), m.configured(), []byte(damaged))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.60s by %.60s: %v, want %s", c.old, c.by, err, c.says)
		}
	}
	if _, err := cluster.Restore(m.moment(), m.configured(), bytes.Repeat([]byte(" "), cluster.SavedSize+1)); err == nil {
		t.Error("any size is read")
	}
}

// TestSavedIsBounded writes a master another way again and again, until its
// cluster's line must be cut.
func TestSavedIsBounded(t *testing.T) {
	s := &script{}
	if _, err := s.block("servers m1 master\non\nrun 3s"); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		name := fmt.Sprint("name", i)
		for _, line := range []string{"point " + name + " m1", "nodes " + name, "reload", "run 1s"} {
			if err := s.do(line); err != nil {
				t.Fatal(err)
			}
		}
	}
	at := spots(s.monitor.state.Snapshot())
	if want := (spot{0, cluster.Master}); at[node("name299")] != want {
		t.Fatalf("name299 is %v", at)
	}
	saved := s.monitor.state.Save()
	if bytes.Contains(saved, []byte("name9:")) {
		t.Errorf("the line was not cut: %s", saved)
	}
	if _, err := cluster.Restore(s.monitor.moment(), s.monitor.configured(), saved); err != nil {
		t.Error(err)
	}
}

// FuzzRestore reads what may be a saved State. What it takes it can live with, and
// saves again.
func FuzzRestore(f *testing.F) {
	m := told(f).monitor
	f.Add(m.state.Save())
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"clusters":[{"id":0,"last_master":"a","line":["a"]}],"nodes":[{"host":"a","place":"master"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := cluster.Restore(m.moment(), m.configured(), data)
		if err != nil {
			return
		}
		for range 3 {
			m := newMonitor(m.world)
			draft := state.Observe(m.moment(), map[cluster.Node]cluster.Sighting{})
			state, _ = draft.Settle(m.moment(), nil)
			state.Snapshot()
		}
		if _, err := cluster.Restore(m.moment(), m.configured(), state.Save()); err != nil {
			t.Errorf("%v, saved from %s", err, data)
		}
	})
}
