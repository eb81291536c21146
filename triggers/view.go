package triggers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"plusmoin/cluster"
)

// A trigger may wait for hours, and the snapshot of its round may have
// thousands of nodes. So what waits keeps only its own cluster's part of the
// snapshot; all triggers of a cluster in a round share one, all clusters of a
// round share the clusterless nodes, and JSON is made when the command starts.

// view is what the triggers of one cluster show of one round.
type view struct {
	clusters []cluster.Cluster // the one, or none if it is gone
	details  map[string]cluster.Detail
	others   *others
}

// others is what every cluster shows of one round.
type others struct {
	clusterless []cluster.Entry
	details     map[string]cluster.Detail
}

// round cuts a snapshot into views.
type round struct {
	snapshot cluster.Snapshot
	others   *others
	views    map[int]*view
}

func newRound(s cluster.Snapshot) *round {
	return &round{snapshot: s, views: map[int]*view{}}
}

// view returns the view of a cluster, the same one each time.
func (r *round) view(id int) *view {
	if v := r.views[id]; v != nil {
		return v
	}
	if r.others == nil {
		list := copied(r.snapshot.Clusterless)
		r.others = &others{list, r.details(list)}
	}
	v := &view{others: r.others}
	r.views[id] = v
	i, ok := slices.BinarySearchFunc(r.snapshot.Clusters, id, func(c cluster.Cluster, id int) int { return c.ID - id })
	if !ok {
		return v
	}
	c := r.snapshot.Clusters[i]
	c.Slaves, c.Lost, c.Master = copied(c.Slaves), copied(c.Lost), copiedEntry(c.Master)
	members := slices.Concat(c.Slaves, c.Lost)
	if c.Master != nil {
		members = append(members, *c.Master)
	}
	v.clusters, v.details = []cluster.Cluster{c}, r.details(members)
	return v
}

func (r *round) details(list []cluster.Entry) map[string]cluster.Detail {
	details := make(map[string]cluster.Detail, len(list))
	for _, n := range list {
		name := cluster.Node{Host: n.Host, Port: n.Port}.String()
		if d, ok := r.snapshot.Nodes[name]; ok {
			details[name] = d
		}
	}
	return details
}

// copied returns a list that shares no memory with the one given, and that is
// [] in JSON when it is empty.
func copied(list []cluster.Entry) []cluster.Entry {
	return append(make([]cluster.Entry, 0, len(list)), list...)
}

func copiedEntry(e *cluster.Entry) *cluster.Entry {
	if e == nil {
		return nil
	}
	c := *e
	return &c
}

// detached returns e without a hold on the memory of its round.
func detached(e cluster.Event) cluster.Event {
	e.Node, e.OldMaster = copiedEntry(e.Node), copiedEntry(e.OldMaster)
	return e
}

// payload returns what the command is to know.
func (t *trigger) payload() cluster.Payload {
	nodes := make(map[string]cluster.Detail, len(t.view.details)+len(t.view.others.details))
	maps.Copy(nodes, t.view.details)
	maps.Copy(nodes, t.view.others.details)
	s := cluster.Snapshot{Clusters: t.view.clusters, Clusterless: t.view.others.clusterless, Nodes: nodes}
	return s.Payload(t.event)
}

// encode returns what the command reads: one JSON object and a newline.
func encode(p cluster.Payload) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return b.Bytes(), nil
}
