//go:build linux

package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/status"
)

// event is what a trigger has read.
type event = cluster.Payload

// list returns all events told so far, but for the heartbeats, by their ids.
// Triggers of different clusters run side by side, so the order in which they
// wrote says little. Every payload is checked against the contract.
func (w *watch) list() []event {
	w.t.Helper()
	text, err := os.ReadFile(w.eventsFile())
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	fresh := text[w.read : bytes.LastIndexByte(text, '\n')+1]
	w.read += int64(len(fresh))
	events := slices.Clone(w.events)
	for line := range bytes.Lines(fresh) {
		checkPayload(w.t, line)
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("a trigger read %s: %v", line, err)
		}
		if e.Event != cluster.PlusmoinHeartbeat {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.EventID, b.EventID) })
	for i := range events[min(1, len(events)):] {
		if events[i].EventID == events[i+1].EventID {
			w.t.Fatalf("two events have the id %d", events[i].EventID)
		}
	}
	return events
}

// prose is an event in the words of a story: kind, cluster, node.
func (w *watch) prose(e event) string {
	text := fmt.Sprintf("%s %d", e.Event, e.ClusterID)
	if e.Trigger != nil {
		address := nameOf(*e.Trigger)
		text += " " + cmp.Or(w.names[address], address)
	}
	return text
}

// picture is the clusters of status.json in the words of a story, such as
// "0: m > s1 s2 (s3)", with the lost in parentheses, and at last, if there are
// any, the clusterless.
func (w *watch) picture() string {
	w.t.Helper()
	d := w.status()
	var lines []string
	for _, c := range d.Clusters {
		line := []string{fmt.Sprintf("%d:", c.ID)}
		if c.Master != nil {
			line = append(line, w.names[nameOf(*c.Master)])
		}
		line = append(line, ">")
		for _, n := range c.Slaves {
			line = append(line, w.names[nameOf(n)])
		}
		for _, n := range c.Lost {
			line = append(line, "("+w.names[nameOf(n)]+")")
		}
		lines = append(lines, strings.Join(line, " "))
	}
	if len(d.Clusterless) > 0 {
		line := "-:"
		for _, n := range d.Clusterless {
			line += " " + w.names[nameOf(n)]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// shows checks the picture.
func (w *watch) shows(want string) {
	w.t.Helper()
	if got := w.picture(); got != want {
		w.t.Fatalf("status.json shows %q, want %q", got, want)
	}
}

func nameOf(e cluster.Entry) string { return cluster.Node{Host: e.Host, Port: e.Port}.String() }

// entry is a node as documented: exactly these keys, of these types.
type entry struct {
	Host       *string `json:"host"`
	Port       *int    `json:"port"`
	ClusterID  *int    `json:"cluster_id"`
	IsSlave    *bool   `json:"is_slave"`
	MasterName *string `json:"master_name"`
}

// checkPayload holds what a trigger reads against the documentation: one line,
// with the documented keys and types; other keys may stand beside them.
func checkPayload(t *testing.T, line []byte) {
	t.Helper()
	if bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("a trigger read %q, want one line", line)
	}
	top := object(t, line)
	checkCluster(t, top)
	checkEntry(t, top["trigger"], true)
	checkEntries(t, top["clusterless"])
}

// checkStatus does the same with the status file.
func checkStatus(t *testing.T, text []byte) {
	t.Helper()
	top := object(t, text)
	for _, c := range list(t, top["clusters"]) {
		checkCluster(t, object(t, c))
	}
	checkEntries(t, top["clusterless"])
}

// checkCluster checks the keys that a cluster in the status file and a payload
// have in common.
func checkCluster(t *testing.T, c map[string]json.RawMessage) {
	t.Helper()
	var id *int
	var hasMaster *bool
	strictly(t, c["cluster_id"], &id)
	strictly(t, c["has_master"], &hasMaster)
	if id == nil || hasMaster == nil {
		t.Fatalf("cluster_id %s, has_master %s", c["cluster_id"], c["has_master"])
	}
	checkEntry(t, c["master"], !*hasMaster)
	if *hasMaster == (string(c["master"]) == "null") {
		t.Fatalf("has_master %t, but master %s", *hasMaster, c["master"])
	}
	checkEntries(t, c["slaves"])
	checkEntries(t, c["lost"])
}

func checkEntries(t *testing.T, text json.RawMessage) {
	t.Helper()
	for _, e := range list(t, text) {
		checkEntry(t, e, false)
	}
}

func checkEntry(t *testing.T, text json.RawMessage, mayBeNull bool) {
	t.Helper()
	if mayBeNull && string(text) == "null" {
		return
	}
	var e entry
	strictly(t, text, &e)
	if e.Host == nil || e.Port == nil || e.ClusterID == nil || e.IsSlave == nil || e.MasterName == nil {
		t.Fatalf("node entry %s lacks a documented key", text)
	}
}

func object(t *testing.T, text json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var o map[string]json.RawMessage
	strictly(t, text, &o)
	return o
}

// list returns the elements of an array, which must be one even if it is empty.
func list(t *testing.T, text json.RawMessage) []json.RawMessage {
	t.Helper()
	var l []json.RawMessage
	strictly(t, text, &l)
	if l == nil {
		t.Fatal("null where there must be an array")
	}
	return l
}

func strictly(t *testing.T, text json.RawMessage, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// where is a place in a cluster.
type where struct {
	cluster int
	place   cluster.Place
}

// checkReplay checks that somebody who knows only what plusmoin_up showed and
// what was told since knows where every member is.
func checkReplay(t *testing.T, events []event, last status.Document) {
	t.Helper()
	replayed := map[string]where{}
	for _, e := range events {
		replay(replayed, e)
	}
	shown := map[string]where{}
	for _, c := range last.Clusters {
		enter(shown, c)
	}
	if !maps.Equal(replayed, shown) {
		t.Errorf("replaying the events gives %v, status.json shows %v", replayed, shown)
	}
}

func replay(places map[string]where, e event) {
	switch e.Event {
	case cluster.PlusmoinUp:
		enter(places, cluster.Cluster{ID: e.ClusterID, Master: e.Master, Slaves: e.Slaves, Lost: e.Lost})
	case cluster.NodeLeft:
		delete(places, nameOf(*e.Trigger))
	case cluster.NodeJoined, cluster.SlaveDown:
		places[nameOf(*e.Trigger)] = where{e.ClusterID, cluster.Lost}
	case cluster.SlaveUp:
		places[nameOf(*e.Trigger)] = where{e.ClusterID, cluster.Slave}
	case cluster.MasterDown:
		if places[nameOf(*e.Trigger)].cluster == e.ClusterID && places[nameOf(*e.Trigger)].place != "" {
			places[nameOf(*e.Trigger)] = where{e.ClusterID, cluster.Lost}
		}
	case cluster.MasterUp, cluster.ClusterUp, cluster.ClusterSplit:
		for name, at := range places {
			if at == (where{e.ClusterID, cluster.Master}) {
				places[name] = where{e.ClusterID, cluster.Lost}
			}
		}
		places[nameOf(*e.Trigger)] = where{e.ClusterID, cluster.Master}
	}
}

// enter puts the members of a cluster in their places.
func enter(places map[string]where, c cluster.Cluster) {
	if c.Master != nil {
		places[nameOf(*c.Master)] = where{c.ID, cluster.Master}
	}
	for _, n := range c.Slaves {
		places[nameOf(n)] = where{c.ID, cluster.Slave}
	}
	for _, n := range c.Lost {
		places[nameOf(n)] = where{c.ID, cluster.Lost}
	}
}
