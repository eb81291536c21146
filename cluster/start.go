package cluster

import (
	"maps"
	"slices"
	"time"
)

// startup is what is remembered only while the start has not settled.
type startup struct {
	began     time.Duration // first look; never before it
	looked    bool          // every node has answered or was given up
	firstBeat time.Duration // never before it
	claims    []claim       // by id
	rows      map[string]Row
	restored  map[string]bool // the nodes that a state file told the places of; nil without one
}

// startTime is the least time that the start may take before it settles with
// what it has: slaves show within a round or two whom they follow.
const startTime = 5 * time.Second

func newStartup() *startup { return &startup{began: never, firstBeat: never} }

func (s *startup) clone() *startup {
	c := *s
	c.claims, c.rows = slices.Clone(s.claims), maps.Clone(s.rows)
	return &c
}

// patience is for how long a start waits for what does not come.
func (t *roundDraft) patience() time.Duration {
	return max(startTime, 2*t.config.FailInterval)
}

// finishLook ends the first look once every node has answered or failed for
// fail_interval, and reads the claims. One whose first connect is still under
// way has not failed.
func (t *roundDraft) finishLook() {
	if t.start.began == never {
		t.start.began = t.look
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		switch {
		case n.known:
		case n.sight.Outcome == Connecting && n.trouble.reason == ReasonConnecting:
			if t.look-t.start.began < t.patience() {
				return
			}
		case !n.failedFor(t.config.FailInterval, t.look):
			return
		}
	}
	if first := Stamp((t.latest.Seconds() + 1) * 1e6); t.latest > 0 {
		t.base = max(t.base, first)
	}
	t.start.looked = true
	t.readClaims()
	for i := range t.start.claims {
		k := &t.start.claims[i]
		if c := t.find(k.id); c != nil {
			t.correct(c, k)
			k.done = true
		}
	}
}

// correct lets rows that are newer than what a state file remembers of a cluster
// have their way: the master wrote on, or another took its place. Those of a
// master that the remembered one was promoted away from are somebody else's, as
// are those of a second writer.
func (t *roundDraft) correct(c *clusterState, k *claim) {
	if k.newest <= c.ref.Stamp || c.like(&Row{Cluster: c.id, Master: k.owner}) || t.isLeftBehind(k.owner, c) {
		return
	}
	c.ref = Row{Cluster: c.id, Master: k.owner, Stamp: k.newest}
	c.memory.thinned = max(c.memory.thinned, k.newest)
	if k.owner == c.last {
		return
	}
	if c.master != none {
		t.put(c.master, Lost, c.id)
		c.master = none
	}
	c.last, c.server, c.rebuilt = k.owner, identity{}, true
	c.addToLine(k.owner)
}

// learn lets a member's row that is newer than the reference be the reference of a
// cluster that a state file remembers and that has confirmed no beat since: who had
// it did not answer when the rows were read.
func (t *roundDraft) learn(n *nodeState) {
	c, row := t.find(n.cluster), n.sight.Row
	if c == nil || c.rebuilt || c.memory.confirmedAny() || row == nil || n.otherSystem(c) || c.like(row) {
		return
	}
	if row.Cluster == c.id && row.Master == c.last && row.Stamp > c.ref.Stamp && row.Stamp < t.base {
		c.ref = *row
		c.memory.thinned = max(c.memory.thinned, row.Stamp)
		n.origin = t.recognise(row)
	}
}

// isLeftBehind reports whether a node and a cluster's master both are masters,
// and the node is on a lower timeline.
func (t *roundDraft) isLeftBehind(name string, c *clusterState) bool {
	i := t.at(name)
	if i == none || c.master == none || i == c.master {
		return false
	}
	n, m := &t.nodes[i], &t.nodes[c.master]
	return n.known && m.known && !n.slave && !m.slave && n.facts.Timeline != 0 && n.facts.Timeline < m.facts.Timeline
}

// planClaims carries out the claims and returns the masters that are not to
// found a cluster in this round.
func (t *roundDraft) planClaims() (held map[int]bool) {
	held = map[int]bool{}
	t.takeInLate()
	for i := range t.start.claims {
		k := &t.start.claims[i]
		if k.done {
			continue
		}
		t.carryOut(k, t.judgeClaim(k))
		if !k.done {
			t.holdBack(k, held)
		}
	}
	return held
}

// holdBack lets those who may be given an id wait until that is decided.
func (t *roundDraft) holdBack(k *claim, held map[int]bool) {
	if owner := t.at(k.owner); owner != none && t.hasRightTo(owner, k) {
		held[owner] = true
	}
	for _, i := range t.heirs(k) {
		held[i] = true
	}
}

// found makes a cluster. The beats that were sent to found it, to whichever of
// the nodes tried, are remembered as its own.
func (t *roundDraft) found(c clusterState, tried []int) *clusterState {
	var sent []beat
	for _, i := range tried {
		n := &t.nodes[i]
		if n.reserved != c.id {
			continue
		}
		sent = append(sent, n.attempts.old...)
		sent = append(sent, n.attempts.recent...)
		n.reserved, n.attempts = NoCluster, memory{}
	}
	slices.SortStableFunc(sent, func(a, b beat) int { return int(a.stamp - b.stamp) })
	for _, b := range sent {
		c.memory = c.memory.add(b, 0)
	}
	t.founded++
	c.founded, c.changed, c.opened = t.founded, t.end, t.start == nil
	t.take(c.id)
	return t.insert(c)
}

// settleStart opens the clusters of which enough is known, and ends the start
// when that is all of them. Whatever one stuck node does, it ends in time.
func (t *roundDraft) settleStart() {
	late := t.startIsLate()
	if late {
		for i := range t.nodes {
			t.placeUnproven(i)
		}
	}
	enough := late || !t.waitsForNodes()
	done := enough && !t.claimsOpen()
	for i := range t.clusters {
		c := &t.clusters[i]
		if c.opened {
			continue
		}
		if late || enough && t.masterIsKnown(c) {
			c.opened, c.changed = true, t.end
			t.pending = append(t.pending, pendingEvent{kind: PlusmoinUp, cluster: c.id, node: none})
		} else {
			done = false
		}
	}
	if done {
		t.start = nil
	}
}

// startIsLate reports whether the slaves have had their time. Where no beat can
// be sent there is nothing to wait for.
func (t *roundDraft) startIsLate() bool {
	if t.start.firstBeat == never {
		return !t.claimsOpen()
	}
	return t.end-t.start.firstBeat >= t.patience()
}

func (t *roundDraft) claimsOpen() bool {
	return slices.ContainsFunc(t.start.claims, func(k claim) bool { return !k.done && t.find(k.id) == nil })
}

// newestOn returns the newest row that was found at start with a cluster's id, and
// whether there was one.
func (s *startup) newestOn(id int) (Stamp, bool) {
	if k := s.claimOn(id); k != nil {
		return k.newest, true
	}
	return 0, false
}

// masterIsKnown reports whether a cluster has a master that has taken a beat of
// this run, or is known to have none.
func (t *roundDraft) masterIsKnown(c *clusterState) bool {
	if c.master != none {
		return c.memory.confirmedAny()
	}
	return !slices.ContainsFunc(t.contests, func(k contest) bool { return k.cluster == c.id && k.candidate != none })
}

// waitsForNodes reports whether a node that answers has no place yet and may
// have one soon. A slave that had none before a restart is not waited for, nor is
// a master that has been tried.
func (t *roundDraft) waitsForNodes() bool {
	for i := range t.nodes {
		n := &t.nodes[i]
		switch {
		case n.member() || !n.known || n.failedFor(t.config.FailInterval, t.look):
		case n.slave && !t.start.restored[n.name]:
			return true
		case n.answersMaster() && n.reserved == NoCluster && n.alias == none:
			return true
		}
	}
	return false
}

// placeUnproven lets a slave that has not shown whom it follows join as lost
// the cluster that its row speaks of, if it speaks of one. One that had no place
// before a restart gets none for an old row now.
func (t *roundDraft) placeUnproven(i int) {
	n := &t.nodes[i]
	if n.member() || !n.known || !n.slave || t.start.restored[n.name] {
		return
	}
	if c := t.find(t.home(n)); c != nil {
		t.join(i, c)
	}
}

// home returns the cluster that a slave's row speaks of: whose id and line it
// has, else whose line it names, else whose id it carries; NoCluster if none.
func (t *roundDraft) home(n *nodeState) int {
	home := NoCluster
	if n.row == nil {
		return home
	}
	for i := range t.clusters {
		c := &t.clusters[i]
		if c.hasInLine(n.row.Master) && !n.otherSystem(c) && (home == NoCluster || c.id == n.row.Cluster) {
			home = c.id
		}
	}
	if c := t.find(n.row.Cluster); home == NoCluster && c != nil && !n.otherSystem(c) {
		home = c.id
	}
	return home
}
