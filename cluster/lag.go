package cluster

import "time"

// lagOf returns for how long a node has lacked the oldest confirmed beat of
// the cluster that is newer than its row, counting only time in which the
// cluster's master was confirming beats. It is not known without a reference
// or a row, or when the row can be another monitor's.
func (t *turn) lagOf(i int, g *group) (time.Duration, bool) {
	n := &t.nodes[i]
	row := n.sight.Row
	if row == nil || !n.answers() || g.ref.Stamp == 0 {
		return 0, false
	}
	if !n.origin.ours && (row.Stamp >= t.base || g.like(row)) {
		return 0, false
	}
	if !g.memory.confirmedAny() {
		return max(0, g.ref.Stamp.Sub(row.Stamp)), true
	}
	mark, lacks := g.memory.after(row.Stamp)
	if !lacks {
		return 0, true
	}
	return max(0, g.reading-mark), true
}

// proven says that a node which answers as a slave may come up in the cluster.
// A member that stood in good order elsewhere need not show again that it
// keeps answering.
func (t *turn) proven(i int, g *group, goodOrder bool) bool {
	n := &t.nodes[i]
	if !n.answersSlave() || n.sight.Row == nil {
		return false
	}
	if !goodOrder && t.look-n.goodAt < t.config.FailInterval {
		return false
	}
	lag, known := t.lagOf(i, g)
	return known && lag <= n.RecoverSyncDelay && t.follows(n, g)
}

// follows says that the node's row is a beat of the cluster's master or,
// without one, its last; in a cluster rebuilt at start, its reference row.
func (t *turn) follows(n *standing, g *group) bool {
	row := n.sight.Row
	if n.origin.ours && n.origin.group == g.id && row.Master == g.last {
		return true
	}
	return g.rebuilt && g.isReference(row)
}
