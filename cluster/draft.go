package cluster

import (
	"maps"
	"slices"
	"time"
)

// roundDraft is one round being worked on: a copy of the State it began with,
// what has to be sent and what has to be told.
type roundDraft struct {
	State
	look     time.Duration // when the look began
	end      time.Duration // when the last beat had its outcome
	wall     time.Time
	contests []contest // by cluster id; not written to by Settle
	beats    []plannedBeat
	pending  []pendingEvent
	copied   bool // taken is this draft's own
}

// purpose is what a beat is sent for.
type purpose uint8

const (
	toKeep  purpose = iota // the master's
	toTake                 // a candidate's
	toFound                // of a master that belongs to no cluster
)

// plannedBeat is a beat to be sent.
type plannedBeat struct {
	purpose purpose
	node    int
	cluster int // id
}

// pendingEvent is an event before it is put into its final order.
type pendingEvent struct {
	kind    Kind
	cluster int
	node    int // none if it is about the cluster
	old     string
	entry   *Entry // of a node that is no longer configured
}

// tell notes that something has to be told of a cluster: nothing before its
// plusmoin_up.
func (t *roundDraft) tell(kind Kind, cluster, node int) {
	t.tellAbout(pendingEvent{kind: kind, cluster: cluster, node: node})
}

func (t *roundDraft) tellMaster(kind Kind, cluster, node int, old string) {
	t.tellAbout(pendingEvent{kind: kind, cluster: cluster, node: node, old: old})
}

func (t *roundDraft) tellAbout(e pendingEvent) {
	c := t.find(e.cluster)
	c.changed = t.end
	if c.opened {
		t.pending = append(t.pending, e)
	}
}

// put moves a node to a place in a cluster, or out of all.
func (t *roundDraft) put(i int, place Place, cluster int) {
	n := &t.nodes[i]
	if n.place != place || n.cluster != cluster {
		n.since = t.wall
	}
	n.place, n.cluster = place, cluster
}

// leave takes a node out of its cluster.
func (t *roundDraft) leave(i int) {
	n := &t.nodes[i]
	t.tell(NodeLeft, n.cluster, i)
	if c := t.find(n.cluster); c.master == i {
		c.master = none
	}
	t.put(i, Clusterless, NoCluster)
	n.tries, n.splitFrom, n.witness = 0, NoCluster, witness{}
}

// splitOff takes a second, stale or strange master out of its cluster.
func (t *roundDraft) splitOff(i int) {
	from := t.nodes[i].cluster
	t.leave(i)
	t.nodes[i].splitFrom = from
}

// take marks an id as used.
func (t *roundDraft) take(id int) {
	if t.taken[id] {
		return
	}
	if !t.copied {
		t.taken, t.copied = maps.Clone(t.taken), true
	}
	t.taken[id] = true
	t.highest = max(t.highest, id)
}

func (t *roundDraft) send(p purpose, node, cluster int) {
	t.beats = append(t.beats, plannedBeat{p, node, cluster})
	if p == toFound {
		t.nodes[node].reserved = cluster
		t.take(cluster)
	}
}

// planned reports whether a beat is to be sent to a node.
func (t *roundDraft) planned(i int) bool {
	return slices.ContainsFunc(t.beats, func(b plannedBeat) bool { return b.node == i })
}

// row returns the row that a beat writes.
func (t *roundDraft) row(b plannedBeat) Row {
	return Row{Cluster: b.cluster, Master: t.nodes[b.node].name, Stamp: t.stamp(t.look)}
}
