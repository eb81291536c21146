package cluster

// settleSlave judges a node that is nobody's master: whether it moved, went
// down or came up.
func (t *turn) settleSlave(i int) {
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
	if g := t.destination(n); g != nil {
		t.move(i, g)
		return
	}
	if t.start != nil && t.joinByLimit(i) {
		return
	}
	g := t.find(n.group)
	if g == nil || !t.stranger(n, g) {
		n.strange = false
	}
	switch {
	case g != nil && t.stranger(n, g):
		t.part(i, g)
	case g == nil && t.start == nil:
		t.joinByOldRow(i)
	case n.place == Slave:
		if lag, known := t.lagOf(i, g); known && lag > n.MaxSyncDelay {
			t.down(i)
		}
	case n.place == Lost && t.proven(i, g, false):
		t.up(i)
	}
}

func (t *turn) down(i int) {
	t.put(i, Lost, t.nodes[i].group)
	t.tell(SlaveDown, t.nodes[i].group, i)
}

func (t *turn) up(i int) {
	t.put(i, Slave, t.nodes[i].group)
	t.tell(SlaveUp, t.nodes[i].group, i)
}

// destination returns the cluster a slave has to move to: another one's
// current master, or its last if it has none, wrote the node's row.
func (t *turn) destination(n *standing) *group {
	if !n.origin.ours || n.origin.group == n.group {
		return nil
	}
	g := t.find(n.origin.group)
	if g == nil || n.sight.Row.Master != g.last {
		return nil
	}
	return g
}

// move takes a slave to the cluster whose master it follows.
func (t *turn) move(i int, g *group) {
	n := &t.nodes[i]
	if n.member() {
		t.leave(i, false)
	}
	t.put(i, Lost, g.id)
	t.tell(NodeJoined, g.id, i)
	if t.proven(i, g, n.heldUp || t.start != nil) {
		t.up(i)
	}
}

// part lets a stranger leave. Beside a master it does not in the first round: a
// second writer may have written on the master after that was looked at, and
// then the next look at the master shows the same row.
func (t *turn) part(i int, home *group) {
	n := &t.nodes[i]
	if home.master == none || n.strange && t.nodes[home.master].answers() {
		t.leave(i, false)
	}
	n.strange = true
}

// stranger says that a member's row is that of another monitor's cluster.
func (t *turn) stranger(n *standing, home *group) bool {
	row := n.sight.Row
	if row == nil || n.origin.ours || row.Stamp < t.base || home.like(row) {
		return false
	}
	g := t.find(row.Cluster)
	return g == nil || !g.hasInLine(row.Master)
}

// joinByOldRow lets a clusterless slave join as lost the cluster that its row
// from before this run names.
func (t *turn) joinByOldRow(i int) {
	n := &t.nodes[i]
	row := n.sight.Row
	if row == nil || n.origin.ours || row.Stamp >= t.base {
		return
	}
	if g := t.find(row.Cluster); g != nil && g.hasInLine(row.Master) {
		t.put(i, Lost, g.id)
		t.tell(NodeJoined, g.id, i)
	}
}

// joinByLimit lets a slave with a limit of its own, which may be too far behind
// to show a beat of this run for long, join at start by the row it has.
func (t *turn) joinByLimit(i int) bool {
	n := &t.nodes[i]
	row := n.sight.Row
	if n.member() || !n.OwnLimit || row == nil || n.origin.ours {
		return false
	}
	g := t.find(row.Cluster)
	if g == nil || !g.hasInLine(row.Master) || t.stamp(t.look).Sub(row.Stamp) > n.MaxSyncDelay {
		return false
	}
	t.put(i, Slave, g.id)
	return true
}
