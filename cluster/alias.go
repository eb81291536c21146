package cluster

// This file finds servers that are configured under two names.

// lazyServers are the servers that are members of clusters or have a founding
// beat on its way, masters before others. They are collected when first asked
// for.
type lazyServers struct {
	t     *roundDraft
	found map[identity]int
}

func (s *lazyServers) get(id identity) (int, bool) {
	if s.found == nil {
		s.collect()
	}
	i, ok := s.found[id]
	return i, ok
}

// add adds a node that has a founding beat on its way.
func (s *lazyServers) add(i int) {
	if id := s.t.nodes[i].identity(); s.found != nil && id != (identity{}) {
		s.found[id] = i
	}
}

func (s *lazyServers) collect() {
	t := s.t
	s.found = map[identity]int{}
	owners := t.openOwners()
	for i := range t.nodes {
		n := &t.nodes[i]
		id := n.identity()
		if id == (identity{}) || !n.member() && !owners[n.name] {
			continue
		}
		if j, twice := s.found[id]; !twice || n.place == Master && t.nodes[j].place != Master {
			s.found[id] = i
		}
	}
	for _, b := range t.beats {
		if b.purpose == toFound {
			s.add(b.node)
		}
	}
}

// openOwners returns whom the newest rows of the clusters that are not yet made
// name.
func (t *roundDraft) openOwners() map[string]bool {
	owners := map[string]bool{}
	if t.start == nil {
		return owners
	}
	for _, k := range t.start.claims {
		if !k.done {
			owners[k.owner] = true
		}
	}
	return owners
}

// aliasOf returns the node that a master of no cluster is another name of,
// none if it is a server of its own. One that was an alias stays one while the
// known name does not answer: the server may be restarting.
func (t *roundDraft) aliasOf(i int, known *lazyServers) int {
	n := &t.nodes[i]
	if id := n.identity(); id != (identity{}) {
		if k, ok := known.get(id); ok && k != i && (n.alias == k || t.oneServer(k, i)) {
			return k
		}
	}
	if n.alias == none {
		return none
	}
	k := &t.nodes[n.alias]
	c := t.find(k.cluster)
	if c != nil && c.last == k.name && !k.answers() && !n.otherSystem(c) && (k.place == Master || c.master == none) {
		return n.alias
	}
	return none
}

// oneServer reports whether two nodes with one identity are one server. A server
// may say what it likes: of two that both answer as master it is believed only
// when the row read through the one is that of the other, which the beat just
// sent makes sure of.
func (t *roundDraft) oneServer(a, b int) bool {
	x, y := &t.nodes[a], &t.nodes[b]
	if !x.answersMaster() || !y.answersMaster() {
		return true
	}
	return sameRow(x.sight.Row, y.sight.Row)
}

func sameRow(a, b *Row) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Cluster == b.Cluster && a.Master == b.Master && a.Stamp == b.Stamp
}

// planTakeOverAsAlias lets an alias take the place of the name it stands for, if
// that is declared down in this round or was before.
func (t *roundDraft) planTakeOverAsAlias(i int) {
	k := &t.nodes[t.nodes[i].alias]
	c := t.find(k.cluster)
	if c == nil || c.last != k.name || k.answers() || !k.failedFor(t.config.FailInterval, t.look) {
		return
	}
	if n := &t.nodes[i]; n.failing || t.look-n.goodAt < t.config.FailInterval {
		return // both names may be coming back
	}
	if c.master != none && &t.nodes[c.master] != k {
		return
	}
	contest := t.contest(c.id)
	if contest == nil || contest.candidate != none || !t.mayTake(i, c) {
		return
	}
	contest.candidate = i
	t.send(toTake, i, c.id)
}

// partDoubles dissolves the later of two clusters that share one server.
func (t *roundDraft) partDoubles() {
	if len(t.clusters) < 2 {
		return
	}
	first := make(map[identity]int, len(t.clusters))
	var later []int
	for i := range t.clusters {
		c := &t.clusters[i]
		if c.master == none || !t.nodes[c.master].answersMaster() {
			continue
		}
		id := t.nodes[c.master].identity()
		if id == (identity{}) {
			continue
		}
		j, shared := first[id]
		switch {
		case !shared:
			first[id] = i
		case !t.oneServer(t.clusters[j].master, c.master):
		case t.clusters[j].founded < c.founded:
			later = append(later, c.id)
		default:
			later = append(later, t.clusters[j].id)
			first[id] = i
		}
	}
	for _, id := range later {
		t.dissolve(id)
	}
}

// dissolve lets every member leave a cluster.
func (t *roundDraft) dissolve(id int) {
	c := t.find(id)
	c.dissolved = true
	if c.master != none {
		t.tellMaster(MasterDown, id, c.master, c.last)
	}
	for i := range t.nodes {
		if t.nodes[i].cluster == id {
			t.leave(i)
		}
	}
}
