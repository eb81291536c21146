package cluster

import (
	"cmp"
	"slices"
)

// rank is the place of a kind of event within its cluster; node_left is 0.
func (k Kind) rank() int { return slices.Index(Kinds(), k) }

// events puts what is to be told in order: first who left, of all clusters,
// then cluster by cluster.
func (t *roundDraft) events() []Event {
	slices.SortStableFunc(t.pending, func(a, b pendingEvent) int {
		return cmp.Or(
			cmp.Compare(min(a.kind.rank(), 1), min(b.kind.rank(), 1)),
			cmp.Compare(a.cluster, b.cluster),
			cmp.Compare(a.kind.rank(), b.kind.rank()),
			cmp.Compare(a.node, b.node),
		)
	})
	var events []Event
	for _, e := range t.pending {
		events = append(events, t.event(e))
	}
	return events
}

func (t *roundDraft) event(e pendingEvent) Event {
	t.eventID = max(t.eventID+1, int64(t.stamp(t.end)))
	event := Event{ID: t.eventID, Kind: e.kind, Cluster: e.cluster, Time: t.wall, Node: e.entry}
	if e.node != none {
		entry := t.entry(e.node)
		event.Node = &entry
	}
	if e.old != "" {
		entry := t.entryByName(e.old)
		event.OldMaster = &entry
	}
	return event
}

// Heartbeat returns the plusmoin_heartbeat events of a heartbeat, one a
// cluster whose start has settled.
func (s State) Heartbeat(now Moment) (State, []Event) {
	t := roundDraft{State: s, end: now.Elapsed, wall: now.Wall}
	for i := range t.clusters {
		if c := &t.clusters[i]; c.opened {
			t.pending = append(t.pending, pendingEvent{kind: PlusmoinHeartbeat, cluster: c.id, node: none})
		}
	}
	events := t.events()
	return t.State, events
}

// entry returns a node as the original plusmoin showed it. A master is shown as one
// until it is declared otherwise.
func (s *State) entry(i int) Entry {
	n := &s.nodes[i]
	e := Entry{Host: n.Node.Host, Port: n.Node.Port, ClusterID: n.cluster, IsSlave: n.known && n.slave && n.place != Master}
	if n.row != nil {
		if e.IsSlave {
			e.MasterName = n.row.Master
		}
		if !n.member() {
			e.ClusterID = n.row.Cluster
		}
	}
	return e
}

// entryByName returns the entry of a node that may not be configured any more.
func (s *State) entryByName(name string) Entry {
	if i := s.at(name); i != none {
		return s.entry(i)
	}
	n := nodeOf(name)
	return Entry{Host: n.Host, Port: n.Port, ClusterID: NoCluster}
}
