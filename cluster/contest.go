package cluster

import (
	"cmp"
	"slices"
)

// contest is who is master of one cluster in this round, and who may be next.
// Observe decides who gets a beat, Settle by what became of the beats.
type contest struct {
	cluster   int // id
	incumbent int // the master; none without one
	replaced  int // a master whose name was found to mean another server now; none
	candidate int // who gets its first beat; none
	rivals    []int
}

// planContests judges every cluster and plans the beats of masters and
// candidates.
func (t *roundDraft) planContests() {
	members, outsiders := t.masters()
	t.contests = make([]contest, 0, len(t.clusters))
	for i := range t.clusters {
		c := &t.clusters[i]
		k := t.contestOf(c, members[c.id])
		if k.incumbent != none && t.nodes[k.incumbent].answersMaster() {
			t.send(toKeep, k.incumbent, c.id)
		}
		if t.open(k) {
			t.judgeRivals(c, &k, outsiders[c.id])
		}
		if k.candidate != none {
			t.send(toTake, k.candidate, c.id)
		}
		t.contests = append(t.contests, k)
	}
}

// masters returns, by cluster, the members that answer as master and are not its
// master, and those who belong to no cluster and whose row carries its id, or who
// were its master under a label that is theirs still.
func (t *roundDraft) masters() (members, outsiders map[int][]int) {
	members, outsiders = map[int][]int{}, map[int][]int{}
	for i := range t.nodes {
		switch n := &t.nodes[i]; {
		case !n.answersMaster() || n.place == Master:
		case n.member():
			members[n.cluster] = append(members[n.cluster], i)
		case n.row != nil && n.row.Cluster != NoCluster:
			outsiders[n.row.Cluster] = append(outsiders[n.row.Cluster], i)
			if c := t.labelled(n); c != nil && c.id != n.row.Cluster {
				outsiders[c.id] = append(outsiders[c.id], i)
			}
		}
	}
	return members, outsiders
}

// labelled returns the cluster without a master whose label a node has and whose
// last master it was, nil if there is none.
func (t *roundDraft) labelled(n *nodeState) *clusterState {
	if n.ClusterName == "" {
		return nil
	}
	for i := range t.clusters {
		if c := &t.clusters[i]; c.master == none && c.last == n.name && c.label == n.ClusterName {
			return c
		}
	}
	return nil
}

// contestOf lets a master go that was exchanged behind its name.
func (t *roundDraft) contestOf(c *clusterState, rivals []int) contest {
	k := contest{cluster: c.id, incumbent: c.master, replaced: none, candidate: none, rivals: rivals}
	if c.master != none && t.exchanged(&t.nodes[c.master], c) {
		k.incumbent, k.replaced = none, c.master
		t.splitOff(c.master)
	}
	return k
}

// open reports whether somebody else may have the cluster. Beside a master in
// good order rivals wait for what becomes of its beat.
func (t *roundDraft) open(k contest) bool {
	if k.incumbent == none {
		return true
	}
	n := &t.nodes[k.incumbent]
	return n.failing || !n.answersMaster()
}

// judgeRivals lets those leave who may not have the cluster, and chooses the
// candidate. Who belongs to no cluster may have one only where there is no
// master.
func (t *roundDraft) judgeRivals(c *clusterState, k *contest, outsiders []int) {
	var fit []int
	for _, i := range k.rivals {
		if t.mayTake(i, c) {
			fit = append(fit, i)
		} else {
			t.splitOff(i)
		}
	}
	k.rivals = fit
	if c.master == none && !c.dissolved {
		for _, i := range outsiders {
			if t.mayReturn(i, c) && t.mayTake(i, c) {
				fit = append(fit, i)
			}
		}
	}
	for _, i := range fit {
		if k.candidate == none || t.compareCandidates(i, k.candidate) < 0 {
			k.candidate = i
		}
	}
}

// mayReturn reports whether a master of no cluster belongs to the line of one
// without a master: by its name, or as the same server under another name. While
// a member is known to be that server it is only an alias.
func (t *roundDraft) mayReturn(i int, c *clusterState) bool {
	n := &t.nodes[i]
	if !c.hasInLine(n.name) && !n.sameServer(c) && !t.renamed(n, c) {
		return false
	}
	id := n.identity()
	for j := range t.nodes {
		if m := &t.nodes[j]; j != i && m.cluster == c.id && id != (identity{}) && m.identity() == id {
			return false
		}
	}
	return true
}

// renamed reports whether a node is a cluster's last master under another name,
// though it was not running when that was given: the old name is configured no
// more, and the node carries the newest beat that was written by it.
func (t *roundDraft) renamed(n *nodeState, c *clusterState) bool {
	row := n.sight.Row
	return t.at(c.last) == none && row != nil && row.Cluster == c.id && row.Master == c.last &&
		row.Stamp >= c.ref.Stamp && c.system != 0 && n.facts.SystemID == c.system
}

// exchanged reports whether what answers as the cluster's master is another
// server under its name, or an older copy of it: made anew or restored from a
// backup. The same running server is what it was, whatever became of its table;
// so is one that was not away, as far as its facts tell.
func (t *roundDraft) exchanged(n *nodeState, c *clusterState) bool {
	if !n.answersMaster() || n.sameServer(c) || t.copiedAnew(n, c) {
		return false
	}
	if n.otherSystem(c) {
		return !t.upgraded(n, c)
	}
	restarted := c.server != identity{} && identityOf(n.sight.Facts) != identity{}
	if !n.failing && n.wasKnown && !restarted {
		return false
	}
	row := n.sight.Row
	switch {
	case row == nil:
		return c.system == 0 || n.facts.SystemID == 0
	case n.origin.ours:
		return n.showsBeatOfAnother(c) || row.latest() < c.ref.Stamp
	case c.like(row):
		return false
	}
	return row.latest() < min(t.base, c.ref.Stamp)
}

// upgraded reports whether a server of another system carries the cluster's
// newest beat under the name that wrote it, as pg_upgrade leaves it.
func (t *roundDraft) upgraded(n *nodeState, c *clusterState) bool {
	row := n.sight.Row
	return row != nil && n.name == c.last && n.showsBeatOf(c) && row.Master == n.name && row.latest() >= c.ref.Stamp
}

// copiedAnew reports whether a cluster's last master shows the row of a cluster
// with another label: it was made anew as a copy of that, and stays what its
// label says.
func (t *roundDraft) copiedAnew(n *nodeState, c *clusterState) bool {
	if row := n.sight.Row; row != nil && n.name == c.last && n.ClusterName != "" {
		from := t.find(row.Cluster)
		return from != nil && from != c && from.hasInLine(row.Master) && from.otherLabel(n.ClusterName)
	}
	return false
}

// compareCandidates orders those that may take a cluster: who was tried less
// often in vain, then timeline, then position, then configured order.
func (t *roundDraft) compareCandidates(a, b int) int {
	x, y := &t.nodes[a], &t.nodes[b]
	return cmp.Or(
		cmp.Compare(x.tries, y.tries),
		cmp.Compare(y.sight.Facts.Timeline, x.sight.Facts.Timeline),
		cmp.Compare(y.sight.Facts.LSN, x.sight.Facts.LSN),
		cmp.Compare(a, b),
	)
}

// mayTake reports whether a node that answers as master may take a cluster whose
// master is gone or suspect, by its row as read before this round's beat.
// Writers are never to be led to a stale or an empty server.
func (t *roundDraft) mayTake(i int, c *clusterState) bool {
	n := &t.nodes[i]
	if c.otherLabel(n.ClusterName) {
		return false
	}
	if n.name == c.last && n.sameServer(c) || t.copiedAnew(n, c) {
		return true
	}
	return t.ofTheLine(n, c) && t.newEnough(n, c) && !t.lacksTooMuch(i, c)
}

// ofTheLine reports whether the node's row and system are the cluster's.
func (t *roundDraft) ofTheLine(n *nodeState, c *clusterState) bool {
	row := n.sight.Row
	switch {
	case row == nil, n.showsBeatOfAnother(c), t.namesAnother(row, c):
		return false
	case n.otherSystem(c):
		return t.upgraded(n, c)
	}
	return c.hasInLine(row.Master) || n.showsBeatOf(c) && row.Master == n.name
}

// namesAnother reports whether a row carries the id of another cluster together
// with a name of its line: it was that one's beat before this run.
func (t *roundDraft) namesAnother(row *Row, c *clusterState) bool {
	o := t.find(row.Cluster)
	return o != nil && o.id != c.id && o.hasInLine(row.Master)
}

// newEnough reports whether a row that names the node itself is new enough.
func (t *roundDraft) newEnough(n *nodeState, c *clusterState) bool {
	row := n.sight.Row
	switch {
	case row.Master != n.name:
		return true
	case n.name != c.last:
		return n.showsBeatOf(c) && row.Stamp > c.ref.Stamp
	}
	return row.latest() >= c.ref.Stamp || c.like(row)
}

// lacksTooMuch reports whether a candidate lacks more than its limit allows while
// another member is in sync or the last master is there.
func (t *roundDraft) lacksTooMuch(i int, c *clusterState) bool {
	lag, known := t.lagOf(i, c)
	if !known || lag <= t.nodes[i].MaxSyncDelay {
		return false
	}
	for j := range t.nodes {
		n := &t.nodes[j]
		if j != i && n.cluster == c.id && (n.place == Slave || n.name == c.last && n.answers()) {
			return true
		}
	}
	return false
}

// contest returns that of a cluster, nil for one that was made in this round.
func (t *roundDraft) contest(id int) *contest {
	i, ok := slices.BinarySearchFunc(t.contests, id, func(k contest, id int) int { return cmp.Compare(k.cluster, id) })
	if !ok {
		return nil
	}
	return &t.contests[i]
}
