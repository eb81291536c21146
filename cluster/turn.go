package cluster

import (
	"maps"
	"time"
)

// turn is one round being worked on: a copy of the State it began with, what
// has to be sent and what has to be told.
type turn struct {
	State
	look      time.Duration // when the look began
	end       time.Duration // when the last beat had its outcome
	wall      time.Time
	errands   []errand
	told      []told
	claimants map[int][]int // while starting, see findClaimants
	copied    bool          // taken is this turn's own
	opened    bool          // the start settled in this round
	ousted    map[int]int   // by cluster: the master that was found to be another server
}

// purpose is what a beat is sent for.
type purpose uint8

const (
	toKeep  purpose = iota // the master's
	toTake                 // a candidate's
	toFound                // of a master that belongs to no cluster
)

// errand is a beat to be sent.
type errand struct {
	purpose purpose
	node    int
	group   int // id
}

// told is an event before it is put into its final order.
type told struct {
	kind  Kind
	group int
	node  int // none if it is about the cluster
	old   string
	entry *Entry // of a node that is no longer configured
}

func (t *turn) tell(kind Kind, group, node int) {
	t.told = append(t.told, told{kind: kind, group: group, node: node})
	if g := t.find(group); g != nil {
		g.changed = t.end
	}
}

func (t *turn) tellMaster(kind Kind, group, node int, old string) {
	t.tell(kind, group, node)
	t.told[len(t.told)-1].old = old
}

// put moves a node to a place in a cluster, or out of all.
func (t *turn) put(i int, place Place, group int) {
	n := &t.nodes[i]
	if n.place != place || n.group != group {
		n.since = t.wall
	}
	n.place, n.group = place, group
}

// leave takes a node out of its cluster.
func (t *turn) leave(i int, asMaster bool) {
	n := &t.nodes[i]
	t.tell(NodeLeft, n.group, i)
	if g := t.find(n.group); g != nil && g.master == i {
		g.master = none
	}
	t.put(i, Clusterless, NoCluster)
	n.split, n.tries = asMaster, 0
}

// take marks an id as used.
func (t *turn) take(id int) {
	if t.taken[id] {
		return
	}
	if !t.copied {
		t.taken, t.copied = maps.Clone(t.taken), true
	}
	t.taken[id] = true
	t.highest = max(t.highest, id)
}

func (t *turn) send(p purpose, node, group int) {
	t.errands = append(t.errands, errand{p, node, group})
	if p == toFound {
		t.nodes[node].reserved = group
		t.take(group)
	}
}
