//go:build linux

package soak

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"plusmoin/cluster"
)

// reader reads what triggers have recorded, and checks each record by itself.
type reader struct {
	path string
	at   int64
	ids  map[int64]bool
	last map[int]int64 // id of the last event by cluster
	run  int64         // no event of this run of plusmoin may have an id below
	all  int
	high int64

	beaten time.Time // when the last plusmoin_heartbeat was read
}

func newReader(path string) *reader {
	return &reader{path: path, ids: map[int64]bool{}, last: map[int]int64{}}
}

// rerun is told that plusmoin is started anew, the latest stamp in any row and
// what its clock says. Where that was set back, its ids only go on from the rows.
func (r *reader) rerun(latest int64, now time.Time) {
	r.run = r.high + 1
	if now.UnixMicro() < r.run {
		r.run = min(r.run, latest+1)
	}
	clear(r.ids)
	clear(r.last)
}

// fresh returns the events that were recorded since the last call, but for
// heartbeats, by their ids.
func (r *reader) fresh() ([]cluster.Payload, error) {
	file, err := os.Open(r.path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, r.at, 1<<40))
	if err != nil {
		return nil, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	r.at += int64(len(text))
	var events []cluster.Payload
	for line := range bytes.Lines(text) {
		var e cluster.Payload
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("a trigger read %q: %w", line, err)
		}
		if err := r.check(e); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		if r.all++; e.Event == cluster.PlusmoinHeartbeat {
			r.beaten = time.Now()
			continue
		}
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b cluster.Payload) int { return cmp.Compare(a.EventID, b.EventID) })
	return events, nil
}

// check checks the id of an event, and that its parts agree.
func (r *reader) check(e cluster.Payload) error {
	switch {
	case r.ids[e.EventID]:
		return fmt.Errorf("event id %d was told twice", e.EventID)
	case e.EventID < r.run:
		return fmt.Errorf("event id %d is below those of an earlier run", e.EventID)
	case e.EventID < r.last[e.ClusterID]:
		return fmt.Errorf("event id %d of cluster %d comes after %d", e.EventID, e.ClusterID, r.last[e.ClusterID])
	}
	r.ids[e.EventID], r.last[e.ClusterID] = true, e.EventID
	r.high = max(r.high, e.EventID)
	return agrees(e)
}

// agrees checks that a payload shows the state after what it tells.
func agrees(e cluster.Payload) error {
	if e.HasMaster != (e.Master != nil) {
		return fmt.Errorf("has_master is %t beside such a master", e.HasMaster)
	}
	seen := map[string]int{}
	enter := func(list ...cluster.Entry) {
		for _, n := range list {
			seen[nameOf(n)]++
		}
	}
	if e.Master != nil {
		enter(*e.Master)
	}
	enter(e.Slaves...)
	enter(e.Lost...)
	enter(e.Clusterless...)
	for name, times := range seen {
		if _, shown := e.Nodes[name]; times > 1 || !shown {
			return fmt.Errorf("%s is in %d places, in nodes: %t", name, times, shown)
		}
	}
	if about := e.Trigger != nil; about != isAboutNode(e.Event) {
		return fmt.Errorf("%s with such a trigger node", e.Event)
	}
	if e.Trigger != nil && !standsWell(e, nameOf(*e.Trigger)) {
		return fmt.Errorf("%s with its node in the wrong place", e.Event)
	}
	if e.Event == cluster.ClusterGone && e.HasMaster {
		return fmt.Errorf("%s of a cluster with a master", e.Event)
	}
	return nil
}

func isAboutNode(k cluster.Kind) bool {
	return !slices.Contains([]cluster.Kind{cluster.PlusmoinUp, cluster.PlusmoinHeartbeat, cluster.ClusterGone}, k)
}

func standsWell(e cluster.Payload, name string) bool {
	is := func(n cluster.Entry) bool { return nameOf(n) == name }
	master := e.Master != nil && is(*e.Master)
	slave, lost := slices.ContainsFunc(e.Slaves, is), slices.ContainsFunc(e.Lost, is)
	switch e.Event {
	case cluster.MasterUp, cluster.ClusterUp, cluster.ClusterSplit:
		return master && !e.Trigger.IsSlave
	case cluster.MasterDown:
		return !master && !e.HasMaster
	case cluster.SlaveDown:
		return lost
	case cluster.SlaveUp:
		return slave && e.Trigger.IsSlave
	case cluster.NodeJoined:
		return lost || slave || master
	case cluster.NodeLeft:
		return !lost && !slave && !master
	}
	return true
}

func nameOf(e cluster.Entry) string { return cluster.Node{Host: e.Host, Port: e.Port}.String() }
