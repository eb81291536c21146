package cluster

// planFounding sends the founding beats of the masters that belong to no
// cluster, in configured order.
func (t *roundDraft) planFounding() {
	var held map[int]bool
	if t.start != nil {
		held = t.planClaims()
	}
	known := lazyServers{t: t}
	for i := range t.nodes {
		n := &t.nodes[i]
		if !n.answersMaster() || n.member() || held[i] || t.planned(i) {
			continue
		}
		n.alias = t.aliasOf(i, &known)
		if n.alias != none {
			t.planTakeOverAsAlias(i)
			continue
		}
		t.send(toFound, i, t.idFor(n))
		known.add(i)
	}
}

// idFor returns the id a master founds a cluster with: the one reserved at its
// first try, else that of its own row if it is free, else a new one.
func (t *roundDraft) idFor(n *nodeState) int {
	if n.reserved != NoCluster && t.find(n.reserved) == nil {
		return n.reserved
	}
	n.attempts = memory{}
	if row := n.sight.Row; row != nil && row.Master == n.name && row.Cluster != NoCluster && !t.taken[row.Cluster] {
		return row.Cluster
	}
	return t.freshID()
}
