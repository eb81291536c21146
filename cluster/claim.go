package cluster

import (
	"cmp"
	"slices"
	"time"
)

// claim is what the rows found at start say of one cluster.
type claim struct {
	id      int    // that it is to have; NoCluster: a new one, since a newer claim has that of the rows
	rowID   int    // in the rows
	owner   string // the name that the newest row carries
	newest  Stamp
	stands  bool     // that row was found on the master it names
	system  uint64   // of the servers with these rows, 0 if not known
	members []string // the nodes with these rows
	done    bool     // the cluster exists, or cannot be had
	// Since when the owner, and then the heirs, are tried; never before that.
	ownerTried, heirsTried time.Duration
}

// readClaims reads the rows of all nodes as they are before any beat. Rows with
// one id on servers of different systems are claims of different clusters, and
// only the newest keeps the id.
func (t *roundDraft) readClaims() {
	t.start.rows = map[string]Row{}
	byID := map[int][]claim{}
	for i := range t.nodes {
		n := &t.nodes[i]
		if !t.isClaim(n) {
			continue
		}
		t.start.rows[n.name] = *n.row
		t.take(n.row.Cluster)
		claims := byID[n.row.Cluster]
		at := slices.IndexFunc(claims, func(k claim) bool { return k.sameSystem(n) })
		if at < 0 {
			claims = append(claims, claim{id: n.row.Cluster, rowID: n.row.Cluster, ownerTried: never, heirsTried: never})
			at = len(claims) - 1
		}
		claims[at].takeIn(n)
		byID[n.row.Cluster] = claims
	}
	for id, claims := range byID {
		kept := t.keeper(id, claims)
		for i := range claims {
			if i != kept {
				claims[i].id = NoCluster
			}
		}
		t.start.claims = append(t.start.claims, claims...)
	}
	slices.SortFunc(t.start.claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.rowID, b.rowID), cmp.Compare(a.system, b.system))
	})
}

// keeper returns which of the claims on an id keeps it: the newest, of two equally
// new ones that which stands on the master it names. Where a state file remembers
// the cluster it is none of another system.
func (t *roundDraft) keeper(id int, claims []claim) int {
	c := t.find(id)
	kept := none
	for i, k := range claims {
		if c != nil && c.system != 0 && k.system != 0 && c.system != k.system {
			continue
		}
		if kept == none || k.newest > claims[kept].newest || k.newest == claims[kept].newest && k.stands && !claims[kept].stands {
			kept = i
		}
	}
	return kept
}

// isClaim reports whether a node's row says that there was a cluster. Of a node
// whose place a state file tells it says nothing but of that file's clusters of its own
// system.
func (t *roundDraft) isClaim(n *nodeState) bool {
	row := n.row
	if _, told := t.start.restored[n.name]; told && row != nil {
		c := t.find(row.Cluster)
		if c == nil || c.system != 0 && n.facts.SystemID != 0 && n.facts.SystemID != c.system {
			return false
		}
	}
	return row != nil && row.Cluster != NoCluster && row.Master != "" && row.Master != "-" && !t.farAhead(row)
}

func (k *claim) sameSystem(n *nodeState) bool {
	return k.system == 0 || n.facts.SystemID == 0 || k.system == n.facts.SystemID
}

// takeIn adds one more row to the claim. Of two equally new ones the one that
// stands on the master it names counts.
func (k *claim) takeIn(n *nodeState) {
	if row := n.row; k.owner == "" || row.Stamp > k.newest || row.Stamp == k.newest && row.Master == n.name {
		k.owner, k.newest, k.stands = row.Master, row.Stamp, row.Master == n.name
	}
	if k.system == 0 {
		k.system = n.facts.SystemID
	}
	k.members = append(k.members, n.name)
}

// claimOn returns the claim that is to have an id, nil if there is none.
func (s *startup) claimOn(id int) *claim {
	i, ok := slices.BinarySearchFunc(s.claims, id, func(k claim, id int) int { return cmp.Compare(k.id, id) })
	if !ok || id == NoCluster {
		return nil
	}
	return &s.claims[i]
}

// takeInLate adds the nodes to the claims that answered only after these were
// read.
func (t *roundDraft) takeInLate() {
	for i := range t.nodes {
		n := &t.nodes[i]
		if _, found := t.start.rows[n.name]; found || n.member() || !n.known || n.origin.ours || !t.isClaim(n) {
			continue
		}
		t.take(n.row.Cluster)
		for j := range t.start.claims {
			k := &t.start.claims[j]
			if k.rowID == n.row.Cluster && k.sameSystem(n) && !k.done {
				t.start.rows[n.name] = *n.row
				k.members = append(slices.Clip(k.members), n.name)
				break
			}
		}
	}
}

// claimVerdict is what is to become of a claim in this round.
type claimVerdict struct {
	kind claimKind
	node int // who gets the beat
}

type claimKind uint8

const (
	leaveIt    claimKind = iota // there is the cluster, or nothing to be had
	awaitOwner                  // it may answer yet
	beatOwner                   // it keeps the id if its beat is confirmed
	beatHeir                    // who was promoted from it takes the id
	rebuildIt                   // its slaves are the cluster, without a master
	foundAnew                   // owner or heir found a cluster like any other
)

// judgeClaim decides who is to have the id of a claim: its owner, else a master
// that was promoted from it, else its slaves.
func (t *roundDraft) judgeClaim(k *claim) claimVerdict {
	owner := t.at(k.owner)
	heir := t.bestHeir(k)
	switch {
	case k.id != NoCluster && t.find(k.id) != nil:
		return claimVerdict{kind: leaveIt}
	case t.startIsLate():
		return claimVerdict{kind: rebuildIt}
	case owner != none && t.nodes[owner].answersMaster() && t.hasRightTo(owner, k) && t.stillTried(k.ownerTried):
		return k.give(beatOwner, owner)
	case owner != none && t.mayAnswerYet(owner):
		return claimVerdict{kind: awaitOwner}
	case heir != none && (t.nodes[heir].tries == 0 || t.stillTried(k.heirsTried)):
		return k.give(beatHeir, heir)
	}
	return claimVerdict{kind: rebuildIt}
}

func (k *claim) give(kind claimKind, i int) claimVerdict {
	if k.id == NoCluster {
		return claimVerdict{kind: foundAnew}
	}
	return claimVerdict{kind, i}
}

// stillTried reports whether what has been tried since then in vain, if at all,
// is to be tried again.
func (t *roundDraft) stillTried(since time.Duration) bool {
	return since == never || t.look-since < t.config.FailInterval
}

// mayAnswerYet reports whether a node does not answer, and not for long.
func (t *roundDraft) mayAnswerYet(i int) bool {
	n := &t.nodes[i]
	return !n.answers() && !n.member() && !n.failedFor(t.config.FailInterval, t.look)
}

// hasRightTo reports whether an owner's own row carries the id and is new enough
// for it to keep it.
func (t *roundDraft) hasRightTo(owner int, k *claim) bool {
	n := &t.nodes[owner]
	row, ok := t.start.rows[n.name]
	return ok && !n.member() && slices.Contains(k.members, n.name) && t.recent(row, k)
}

// recent reports whether a row is at most max_sync_delay older than the newest of
// its claim.
func (t *roundDraft) recent(row Row, k *claim) bool {
	return k.newest.Sub(row.Stamp) <= t.config.MaxSyncDelay
}

// heirs returns the masters whose rows, when found, named the owner and were new
// enough. One with a label of its own is a copy.
func (t *roundDraft) heirs(k *claim) []int {
	var list []int
	owner := t.at(k.owner)
	for _, name := range k.members {
		i := t.at(name)
		if i == none || i == owner {
			continue
		}
		n, row := &t.nodes[i], t.start.rows[name]
		copied := owner != none && n.ClusterName != "" && t.nodes[owner].ClusterName != "" && n.ClusterName != t.nodes[owner].ClusterName
		if !n.slave && !n.member() && row.Master == k.owner && t.recent(row, k) && !copied {
			list = append(list, i)
		}
	}
	return list
}

// bestHeir returns the heir to be tried next, none if none answers.
func (t *roundDraft) bestHeir(k *claim) int {
	best := none
	for _, i := range t.heirs(k) {
		if t.nodes[i].answersMaster() && (best == none || t.compareCandidates(i, best) < 0) {
			best = i
		}
	}
	return best
}

// carryOut does what was decided of a claim.
func (t *roundDraft) carryOut(k *claim, v claimVerdict) {
	switch v.kind {
	case leaveIt, foundAnew:
		k.done = true
	case awaitOwner:
	case beatOwner:
		begin(&k.ownerTried, t.look)
		t.send(toFound, v.node, k.id)
	case beatHeir:
		begin(&k.heirsTried, t.look)
		t.send(toFound, v.node, k.id)
	case rebuildIt:
		k.done = true
		t.rebuild(k)
	}
}

// begin sets since unless it is set.
func begin(since *time.Duration, now time.Duration) {
	if *since == never {
		*since = now
	}
}

// rebuild makes the cluster from the slaves whose rows name its owner, without
// a master: the newest of their rows is the reference. With no slaves there is
// nothing to rebuild; the id stays with the master it was tried on.
func (t *roundDraft) rebuild(k *claim) {
	slaves, ref := t.slavesOf(k)
	if len(slaves) == 0 {
		t.reserveForOne(k)
		return
	}
	if k.id == NoCluster {
		k.id = t.freshID()
	}
	c := newClusterState(k.id)
	c.last, c.line, c.ref, c.rebuilt, c.system = k.owner, []string{k.owner}, ref, true, k.system
	t.found(c, t.tried(k))
	for _, i := range slaves {
		n := &t.nodes[i]
		place := Lost
		if ref.Stamp.Sub(n.row.Stamp) <= n.RecoverSyncDelay {
			place = Slave
		}
		n.witness = witness{of: k.owner}
		t.put(i, place, k.id)
	}
	lost := t.heirs(k)
	if owner := t.at(k.owner); owner != none && t.isLostIn(owner, k) {
		lost = append(lost, owner)
	}
	for _, i := range lost {
		t.put(i, Lost, k.id)
	}
}

// slavesOf returns the slaves whose rows name the owner, and the newest row.
func (t *roundDraft) slavesOf(k *claim) (slaves []int, newest Row) {
	for _, name := range k.members {
		i := t.at(name)
		if i == none {
			continue
		}
		n := &t.nodes[i]
		if n.slave && !n.member() && n.row != nil && n.row.Cluster == k.rowID && n.row.Master == k.owner {
			slaves = append(slaves, i)
			if n.row.Stamp > newest.Stamp {
				newest = *n.row
			}
		}
	}
	return slaves, newest
}

// isLostIn reports whether the owner of a cluster without a master is lost in it:
// it does not answer, or cannot take its beat, and no newer claim names it.
func (t *roundDraft) isLostIn(owner int, k *claim) bool {
	n := &t.nodes[owner]
	if n.member() || n.answersSlave() || n.answersMaster() && !t.hasRightTo(owner, k) {
		return false
	}
	if row, ok := t.start.rows[n.name]; ok && row.Cluster != k.rowID {
		return false
	}
	return !slices.ContainsFunc(t.start.claims, func(o claim) bool {
		return o.owner == k.owner && o.newest > k.newest
	})
}

// reserveForOne leaves an id that several masters were tried for to the one
// that has the best right to it.
func (t *roundDraft) reserveForOne(k *claim) {
	best := t.at(k.owner)
	for _, i := range t.heirs(k) {
		if best == t.at(k.owner) || t.compareCandidates(i, best) < 0 {
			best = i
		}
	}
	for _, i := range t.tried(k) {
		if n := &t.nodes[i]; n.reserved == k.id && i != best {
			n.reserved, n.attempts = NoCluster, memory{}
		}
	}
}

// tried returns the nodes that may have been sent beats to found the cluster.
func (t *roundDraft) tried(k *claim) []int {
	list := t.heirs(k)
	if owner := t.at(k.owner); owner != none {
		list = append(list, owner)
	}
	return list
}
