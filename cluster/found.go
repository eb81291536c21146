package cluster

// planFounding sends the founding beats of the masters that belong to no
// cluster, in configured order.
func (t *turn) planFounding() {
	var held map[int]bool
	if t.start != nil {
		held = t.planClaims()
	}
	var known map[identity]int
	for i := range t.nodes {
		n := &t.nodes[i]
		if !n.answersMaster() || n.member() || held[i] {
			continue
		}
		if known == nil {
			known = t.knownServers()
		}
		n.alias = t.aliasOf(i, known)
		if n.alias != none {
			t.succeed(i)
			continue
		}
		t.send(toFound, i, t.idFor(n))
		if id, ok := n.identity(); ok {
			known[id] = i
		}
	}
}

// idFor returns the id a master founds a cluster with: the one reserved at its
// first try, else that of its own row if it is free, else a new one.
func (t *turn) idFor(n *standing) int {
	if n.reserved != NoCluster && t.find(n.reserved) == nil {
		return n.reserved
	}
	n.attempts = memory{}
	if row := n.sight.Row; row != nil && row.Master == n.name && row.Cluster != NoCluster && !t.taken[row.Cluster] {
		return row.Cluster
	}
	return t.freshID()
}

// knownServers returns the servers that are members of clusters or have a
// founding beat on its way, masters before others.
func (t *turn) knownServers() map[identity]int {
	known := map[identity]int{}
	owners := t.openOwners()
	for i := range t.nodes {
		n := &t.nodes[i]
		id, ok := n.identity()
		if !ok || !n.member() && !owners[n.name] {
			continue
		}
		if j, twice := known[id]; !twice || n.place == Master && t.nodes[j].place != Master {
			known[id] = i
		}
	}
	for _, e := range t.errands {
		if id, ok := t.nodes[e.node].identity(); ok && e.purpose == toFound {
			known[id] = e.node
		}
	}
	return known
}

// aliasOf returns the node that a master of no cluster is another name of,
// none if it is a server of its own. One that was an alias stays one while the
// known name does not answer: the server may be restarting.
func (t *turn) aliasOf(i int, known map[identity]int) int {
	n := &t.nodes[i]
	if id, ok := n.identity(); ok {
		if k, ok := known[id]; ok && k != i {
			return k
		}
	}
	if n.alias == none {
		return none
	}
	k := &t.nodes[n.alias]
	g := t.find(k.group)
	if g != nil && g.last == k.name && !k.answers() && !t.otherSystem(n, g) && (k.place == Master || g.master == none) {
		return n.alias
	}
	return none
}

// succeed lets an alias take the place of the name it stands for, if that is
// declared down in this round or was before.
func (t *turn) succeed(i int) {
	k := &t.nodes[t.nodes[i].alias]
	g := t.find(k.group)
	if g == nil || g.last != k.name || k.answers() || !k.failedFor(t.config.FailInterval, t.look) {
		return
	}
	if n := &t.nodes[i]; n.failing || t.look-n.goodAt < t.config.FailInterval {
		return // both names may be coming back
	}
	if g.master != none && &t.nodes[g.master] != k {
		return
	}
	for _, e := range t.errands {
		if e.purpose == toTake && e.group == g.id {
			return
		}
	}
	if t.mayTake(i, g) {
		t.send(toTake, i, g.id)
	}
}

// partDoubles dissolves the later of two clusters that share one server.
func (t *turn) partDoubles() {
	if len(t.groups) < 2 {
		return
	}
	first := make(map[identity]int, len(t.groups))
	var later []int
	for i := range t.groups {
		g := &t.groups[i]
		if g.master == none || !t.nodes[g.master].answersMaster() {
			continue
		}
		id, ok := t.nodes[g.master].identity()
		if !ok {
			continue
		}
		j, shared := first[id]
		switch {
		case !shared:
			first[id] = i
		case t.groups[j].founded < g.founded:
			later = append(later, g.id)
		default:
			later = append(later, t.groups[j].id)
			first[id] = i
		}
	}
	for _, id := range later {
		t.dissolve(id)
	}
}

// dissolve lets every member leave a cluster.
func (t *turn) dissolve(id int) {
	g := t.find(id)
	if g.master != none {
		t.tellMaster(MasterDown, id, g.master, g.last)
	}
	for i := range t.nodes {
		if t.nodes[i].group == id {
			t.leave(i, false)
		}
	}
}
