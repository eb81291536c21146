package cluster

import (
	"slices"
	"time"
)

// opening is what is remembered only while the start has not settled. The rows
// found then are claims: they say what was before this run.
type opening struct {
	looked    bool // every node has answered or was given up
	claims    []claim
	rows      map[string]Row // by node: as found, before any beat
	firstBeat time.Duration  // none before it
}

// claim is what the rows say of one cluster id.
type claim struct {
	id     int
	owner  string // the name that the newest row carries
	newest Stamp
	done   bool // the cluster exists, or cannot be had
	tried  bool // masters that may take it have been tried
	since  time.Duration
}

func (o *opening) clone() *opening {
	c := *o
	c.claims = slices.Clone(o.claims)
	return &c
}

// claimOn returns the claim on an id, nil if no row carried it.
func (o *opening) claimOn(id int) *claim {
	i, ok := slices.BinarySearchFunc(o.claims, id, func(c claim, id int) int { return c.id - id })
	if !ok {
		return nil
	}
	return &o.claims[i]
}

// finishLook ends the first look once every node has answered or failed for
// fail_interval, and reads the claims.
func (t *turn) finishLook() {
	for i := range t.nodes {
		n := &t.nodes[i]
		if !n.known && !n.failedFor(t.config.FailInterval, t.look) {
			return
		}
	}
	if first := Stamp((t.latest.Seconds() + 1) * 1e6); t.latest > 0 {
		t.base = max(t.base, first)
	}
	t.start.looked = true
	t.start.rows = map[string]Row{}
	claims := map[int]claim{}
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.row != nil && n.row.Cluster != NoCluster && n.row.Master != "" && n.row.Master != "-" {
			t.start.rows[n.name] = *n.row
			claims[n.row.Cluster] = newer(claims[n.row.Cluster], n)
		}
	}
	for id, c := range claims {
		t.take(id)
		t.start.claims = append(t.start.claims, c)
	}
	slices.SortFunc(t.start.claims, func(a, b claim) int { return a.id - b.id })
	t.dropDoubleOwners()
}

// newer returns the claim with one more row taken in. Of two equally new ones
// the one that stands on the master it names counts.
func newer(c claim, n *standing) claim {
	row := n.row
	if c.owner == "" || row.Stamp > c.newest || row.Stamp == c.newest && row.Master == n.name {
		return claim{id: row.Cluster, owner: row.Master, newest: row.Stamp}
	}
	return c
}

// dropDoubleOwners leaves an owner named by several ids that of its own row or,
// if that is none of them, the newest.
func (t *turn) dropDoubleOwners() {
	kept := map[string]int{}
	for i, c := range t.start.claims {
		j, twice := kept[c.owner]
		if !twice || t.claimsBetter(c, t.start.claims[j]) {
			kept[c.owner] = i
		}
	}
	for i := range t.start.claims {
		c := &t.start.claims[i]
		c.done = kept[c.owner] != i
	}
}

func (t *turn) claimsBetter(a, b claim) bool {
	if own, ok := t.start.rows[a.owner]; ok && (own.Cluster == a.id || own.Cluster == b.id) {
		return own.Cluster == a.id
	}
	return a.newest > b.newest
}

// openOwners returns whom the newest rows of the clusters that are not yet made
// name.
func (t *turn) openOwners() map[string]bool {
	owners := map[string]bool{}
	if t.start == nil {
		return owners
	}
	for _, c := range t.start.claims {
		if !c.done {
			owners[c.owner] = true
		}
	}
	return owners
}

// planClaims carries out the claims and returns the masters that are not to
// found a cluster in this round.
func (t *turn) planClaims() map[int]bool {
	held := map[int]bool{}
	owned := map[string]int{}
	t.claimants = t.findClaimants()
	for i := range t.start.claims {
		c := &t.start.claims[i]
		if c.done {
			continue
		}
		t.planClaim(c)
		if !c.done {
			owned[c.owner] = c.id
		}
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		row, ok := t.start.rows[n.name]
		if _, open := owned[row.Master]; ok && open && row.Master != n.name {
			held[i] = true
		}
		if id, open := owned[n.name]; open && t.qualifies(n, t.start.claimOn(id)) {
			held[i] = true
		}
	}
	for _, e := range t.errands {
		held[e.node] = true
	}
	return held
}

// planClaim gives the id to its owner, else to a master that was promoted from
// it, else to its slaves.
func (t *turn) planClaim(c *claim) {
	if t.find(c.id) != nil {
		c.done = true
		return
	}
	owner := t.at(c.owner)
	switch t.ownerStands(c, owner) {
	case keeps:
		t.send(toFound, owner, c.id)
		return
	case awaited:
		return
	}
	if taker := t.taker(c, owner); taker != none {
		if !c.tried {
			c.tried, c.since = true, t.look
		}
		t.send(toFound, taker, c.id)
		return
	}
	t.rebuild(c, owner)
	c.done = true
}

// findClaimants returns the nodes that may be given an id or be members of a
// cluster rebuilt under it: those whose rows, as found or as they are, carry it.
func (t *turn) findClaimants() map[int][]int {
	found := map[int][]int{}
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.member() || !n.known {
			continue
		}
		row, ok := t.start.rows[n.name]
		if ok {
			found[row.Cluster] = append(found[row.Cluster], i)
		}
		if n.row != nil && n.row.Cluster != NoCluster && (!ok || n.row.Cluster != row.Cluster) {
			found[n.row.Cluster] = append(found[n.row.Cluster], i)
		}
	}
	return found
}

// found makes a cluster. The beats that were sent to found it, to whichever of
// the nodes tried, are remembered as its own.
func (t *turn) found(g group, tried []int) *group {
	var sent []beat
	for _, i := range tried {
		n := &t.nodes[i]
		if n.reserved != g.id {
			continue
		}
		sent = append(sent, n.attempts.old...)
		sent = append(sent, n.attempts.recent...)
		n.reserved, n.attempts = NoCluster, memory{}
	}
	slices.SortStableFunc(sent, func(a, b beat) int { return int(a.stamp - b.stamp) })
	for _, b := range sent {
		g.memory = g.memory.add(b, 0)
	}
	t.founded++
	g.founded, g.changed = t.founded, t.end
	t.take(g.id)
	return t.insert(g)
}

// settleStart ends the start when every claim is carried out, every master has
// been tried and every slave has shown whom it follows, or had its time to.
func (t *turn) settleStart() {
	if !t.start.looked || t.claimsOpen() {
		return
	}
	waited := t.start.firstBeat == none || t.end-t.start.firstBeat >= t.config.MaxSyncDelay
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.member() || !n.known || n.failedFor(t.config.FailInterval, t.look) {
			continue
		}
		if n.slave && !waited || n.answersMaster() && n.reserved == NoCluster && n.alias == none {
			return
		}
	}
	for i := range t.nodes {
		t.placeUnproven(i)
	}
	t.start, t.opened = nil, true
	for i := range t.groups {
		t.tell(PlusmoinUp, t.groups[i].id, none)
	}
}

func (t *turn) claimsOpen() bool {
	return slices.ContainsFunc(t.start.claims, func(c claim) bool { return !c.done && t.find(c.id) == nil })
}

// placeUnproven lets a slave that has not shown whom it follows join as lost
// the cluster that its row speaks of, if it speaks of one.
func (t *turn) placeUnproven(i int) {
	n := &t.nodes[i]
	if n.member() || !n.known || !n.slave || n.row == nil {
		return
	}
	named := NoCluster
	for j := range t.groups {
		if g := &t.groups[j]; g.hasInLine(n.row.Master) && (named == NoCluster || g.id == n.row.Cluster) {
			named = g.id
		}
	}
	if named == NoCluster && t.find(n.row.Cluster) != nil {
		named = n.row.Cluster
	}
	if named != NoCluster {
		t.put(i, Lost, named)
	}
}
