package cluster

import "math"

// This file says who is to have an id that was found at start.

// claimState is how the owner of a claim stands.
type claimState uint8

const (
	out claimState = iota
	keeps
	awaited
)

func (t *turn) ownerStands(c *claim, owner int) claimState {
	if owner == none {
		return out
	}
	n := &t.nodes[owner]
	givenUp := n.failing && t.look-n.failsFrom >= t.config.FailInterval
	switch {
	case n.answersSlave(), n.member():
		return out
	case n.answersMaster() && t.qualifies(n, c) && !givenUp:
		return keeps
	case n.answersMaster(), n.failedFor(t.config.FailInterval, t.look):
		return out
	}
	return awaited
}

// qualifies says that an owner's own row carries the id and is new enough for
// it to keep it.
func (t *turn) qualifies(n *standing, c *claim) bool {
	row, ok := t.start.rows[n.name]
	if !ok && n.row != nil && !n.origin.ours {
		row, ok = *n.row, true
	}
	return ok && row.Cluster == c.id && c.newest.Sub(row.Stamp) <= t.config.MaxSyncDelay
}

// taker returns the master to be given the owner's id: one whose row, when it
// was found, named the owner. When all have been tried in vain for
// fail_interval there is none.
func (t *turn) taker(c *claim, owner int) int {
	best, fewest := none, math.MaxInt
	for _, i := range t.promoted(c, owner) {
		if !t.nodes[i].answersMaster() {
			continue
		}
		fewest = min(fewest, t.nodes[i].tries)
		if best == none || t.compareCandidates(i, best) < 0 {
			best = i
		}
	}
	if c.tried && fewest > 0 && t.look-c.since >= t.config.FailInterval {
		return none
	}
	return best
}

// promoted returns the masters whose rows, when found, named the owner.
func (t *turn) promoted(c *claim, owner int) []int {
	var list []int
	for _, i := range t.claimants[c.id] {
		n := &t.nodes[i]
		row, ok := t.start.rows[n.name]
		if ok && i != owner && !n.slave && !n.member() && row.Cluster == c.id && row.Master == c.owner {
			list = append(list, i)
		}
	}
	return list
}

// rebuild makes the cluster from the slaves whose rows name its owner, without
// a master: the newest of their rows is the reference. With no slaves there is
// nothing to rebuild; the id stays with the master it was tried on.
func (t *turn) rebuild(c *claim, owner int) {
	var slaves []int
	var ref Row
	for _, i := range t.claimants[c.id] {
		n := &t.nodes[i]
		if n.slave && !n.member() && n.row != nil && n.row.Cluster == c.id && n.row.Master == c.owner {
			slaves = append(slaves, i)
			if n.row.Stamp > ref.Stamp {
				ref = *n.row
			}
		}
	}
	if len(slaves) == 0 {
		t.reserveForOne(c, owner)
		return
	}
	t.found(group{id: c.id, master: none, last: c.owner, line: []string{c.owner}, ref: ref, rebuilt: true}, t.tried(c, owner))
	for _, i := range slaves {
		n := &t.nodes[i]
		place := Lost
		if ref.Stamp.Sub(n.row.Stamp) <= n.RecoverSyncDelay {
			place = Slave
		}
		t.put(i, place, c.id)
		if g := t.find(c.id); g.system == 0 {
			g.system = n.facts.SystemID
		}
	}
	lost := t.promoted(c, owner)
	if owner != none && !t.nodes[owner].answersSlave() {
		if n := &t.nodes[owner]; !n.answers() || t.qualifies(n, c) {
			lost = append(lost, owner)
		}
	}
	for _, i := range lost {
		if !t.nodes[i].member() {
			t.put(i, Lost, c.id)
		}
	}
}

// reserveForOne leaves an id that several masters were tried for to the one
// that has the best right to it.
func (t *turn) reserveForOne(c *claim, owner int) {
	heir := owner
	for _, i := range t.promoted(c, owner) {
		if heir == owner || t.compareCandidates(i, heir) < 0 {
			heir = i
		}
	}
	for _, i := range t.tried(c, owner) {
		if n := &t.nodes[i]; n.reserved == c.id && i != heir {
			n.reserved, n.attempts = NoCluster, memory{}
		}
	}
}

// tried returns the nodes that may have been sent beats to found the cluster.
func (t *turn) tried(c *claim, owner int) []int {
	list := t.promoted(c, owner)
	if owner != none {
		list = append(list, owner)
	}
	return list
}
