package cluster

// settleSlave judges a node that is nobody's master: whether it moved, went
// down or came up.
func (t *roundDraft) settleSlave(i int) {
	n := &t.nodes[i]
	if n.place == Master {
		return
	}
	if !n.answersSlave() {
		if n.place == Slave && n.failedFor(t.config.FailInterval, t.look) {
			t.down(i)
		}
		return
	}
	if c := t.destination(n); c != nil {
		t.move(i, c)
		return
	}
	c := t.find(n.cluster)
	if c == nil {
		n.strange = false
		t.joinByRow(i)
		return
	}
	stranger := t.stranger(n, c)
	switch {
	case stranger:
		t.partStranger(i, c)
	case n.place == Slave && t.outOfSync(i, c):
		t.down(i)
	case n.place == Lost && t.proven(i, c):
		t.up(i)
	}
	n.strange = stranger
}

// outOfSync reports whether a slave is known not to follow closely: it lags, or
// the master is of another system now, which it never can follow.
func (t *roundDraft) outOfSync(i int, c *clusterState) bool {
	lag, known := t.lagOf(i, c)
	return known && lag > t.nodes[i].MaxSyncDelay || c.master != none && t.nodes[i].otherSystem(c)
}

func (t *roundDraft) down(i int) {
	t.put(i, Lost, t.nodes[i].cluster)
	t.tell(SlaveDown, t.nodes[i].cluster, i)
}

func (t *roundDraft) up(i int) {
	t.put(i, Slave, t.nodes[i].cluster)
	t.tell(SlaveUp, t.nodes[i].cluster, i)
}

// join lets a node of no cluster be a lost member of one.
func (t *roundDraft) join(i int, c *clusterState) {
	t.put(i, Lost, c.id)
	t.tell(NodeJoined, c.id, i)
}

// destination returns the cluster a slave has to move to: another one's
// current master, or its last if it has none, wrote the node's row.
func (t *roundDraft) destination(n *nodeState) *clusterState {
	if !n.origin.ours || n.origin.cluster == n.cluster {
		return nil
	}
	c := t.find(n.origin.cluster)
	if c == nil || n.sight.Row.Master != c.last || n.otherSystem(c) {
		return nil
	}
	return c
}

// move takes a slave to the cluster whose master it follows. One that stood in
// good order elsewhere, or is found at start, need not show again that it keeps
// answering.
func (t *roundDraft) move(i int, c *clusterState) {
	n := &t.nodes[i]
	if n.member() {
		t.leave(i)
	}
	t.join(i, c)
	if (n.wasFine || !c.opened) && t.inSync(i, c) || t.proven(i, c) {
		t.up(i)
	}
}

// partStranger lets a stranger leave. Beside a master it does not in the first
// round: a second writer may have written on the master after that was looked at,
// and then the next look at the master shows the same row.
func (t *roundDraft) partStranger(i int, home *clusterState) {
	if home.master == none || t.nodes[i].strange && t.nodes[home.master].answers() {
		t.leave(i)
	}
}

// stranger reports whether a member's row is that of another monitor's cluster.
func (t *roundDraft) stranger(n *nodeState, home *clusterState) bool {
	row := n.sight.Row
	if row == nil || n.origin.ours || row.Stamp < t.base || home.like(row) {
		return false
	}
	c := t.find(row.Cluster)
	return c == nil || !c.hasInLine(row.Master)
}

// joinByRow lets a slave of no cluster join the one that its row from before this
// run names: as lost, or by a limit of its own as a slave while the start lasts,
// since it may be too far behind to show a beat of this run for long.
func (t *roundDraft) joinByRow(i int) {
	n := &t.nodes[i]
	row := n.sight.Row
	if row == nil || n.origin.ours || row.Stamp >= t.base {
		return
	}
	c := t.find(row.Cluster)
	if c == nil || !c.hasInLine(row.Master) || n.otherSystem(c) {
		return
	}
	if c.opened {
		t.join(i, c)
		return
	}
	newest, known := t.start.newestOn(c.id)
	if known && n.OwnLimit && newest.Sub(row.Stamp) <= n.MaxSyncDelay {
		t.put(i, Slave, c.id)
	}
}
