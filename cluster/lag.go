package cluster

import "time"

// lagOf returns for how long a node has lacked the oldest confirmed beat of
// the cluster that is newer than its row, counting only time in which the
// cluster's master was confirming beats. It is not known without a reference
// or a row, or when the row can be another monitor's.
func (t *roundDraft) lagOf(i int, c *clusterState) (time.Duration, bool) {
	n := &t.nodes[i]
	row := n.sight.Row
	if row == nil || !n.answers() || c.ref.Stamp == 0 {
		return 0, false
	}
	known := n.origin.ours && row.Stamp >= c.memory.anchor.stamp
	if !n.origin.ours && row.Stamp >= t.base || !known && c.like(row) {
		return 0, false
	}
	if !c.memory.confirmedAny() {
		return c.lagByStamps(n)
	}
	mark, lacks := c.memory.lacked(row.Stamp)
	if !lacks {
		return 0, true
	}
	return max(0, c.reading-mark), true
}

// lagByStamps returns the lag in a cluster that has confirmed no beat in this run.
// Only of one rebuilt at start, and of who wants to be its master, is it the
// difference of stamps: that of others may be time in which no beat was confirmed.
func (c *clusterState) lagByStamps(n *nodeState) (time.Duration, bool) {
	lag := max(0, c.ref.Stamp.Sub(n.sight.Row.latest()))
	return lag, lag == 0 || c.rebuilt || n.answersMaster()
}

// proven reports whether a node that answers as a slave may come up in the
// cluster: what it shows is in sync, and it has answered throughout
// fail_interval.
func (t *roundDraft) proven(i int, c *clusterState) bool {
	return t.look-t.nodes[i].goodAt >= t.config.FailInterval && t.inSync(i, c)
}

// inSync reports whether what a node shows proves that it follows the cluster
// closely.
func (t *roundDraft) inSync(i int, c *clusterState) bool {
	n := &t.nodes[i]
	if !n.answersSlave() || n.sight.Row == nil || n.otherSystem(c) {
		return false
	}
	lag, known := t.lagOf(i, c)
	return known && lag <= n.RecoverSyncDelay && n.follows(c)
}

// follows reports whether the node's row is a beat of the cluster's master or,
// without one, its last; in a cluster found at start that has had no master since,
// its reference row. A beat from before a restart proves nothing any more.
func (n *nodeState) follows(c *clusterState) bool {
	row := n.sight.Row
	if row == nil {
		return false
	}
	if n.showsBeatOf(c) && row.Master == c.last && row.Stamp >= c.memory.anchor.stamp {
		return true
	}
	return (c.rebuilt || !c.memory.confirmedAny()) && c.isReference(row)
}
