package cluster

import "cmp"

// Draft is a round that has been looked at but not settled.
type Draft struct{ turn turn }

// Observe takes in what was seen of every node; one that seen does not name
// counts as connecting. now is when the look began.
func (s State) Observe(now Moment, seen map[Node]Sighting) Draft {
	t := turn{State: s.clone(), look: now.Elapsed, end: now.Elapsed, wall: now.Wall, ousted: map[int]int{}}
	t.round++
	for i := range t.nodes {
		t.takeIn(&t.nodes[i], seen[t.nodes[i].Node])
	}
	for i := range t.groups {
		t.groups[i].reading = t.groups[i].clock
	}
	if t.start != nil && !t.start.looked {
		t.finishLook()
	}
	if t.start == nil || t.start.looked {
		t.plan()
	}
	if t.start != nil && t.start.firstBeat == none && len(t.errands) > 0 {
		t.start.firstBeat = t.look
	}
	return Draft{t}
}

// Beats returns the beats to be sent now, at most one a node.
func (d Draft) Beats() []Beat {
	beats := make([]Beat, len(d.turn.errands))
	for i, e := range d.turn.errands {
		beats[i] = Beat{Node: d.turn.nodes[e.node].Node, Row: d.turn.row(e)}
	}
	return beats
}

func (t *turn) row(e errand) Row {
	return Row{Cluster: e.group, Master: t.nodes[e.node].name, Stamp: t.stamp(t.look)}
}

// takeIn brings what is known of a node up to date with its sighting.
func (t *turn) takeIn(n *standing, seen Sighting) {
	n.heldUp = (n.place == Master || n.place == Slave) && !n.failing
	if seen.Row != nil {
		row := *seen.Row
		row.Master = CanonicalName(row.Master)
		if row.Cluster < 0 || row.Cluster > MaxCluster {
			row.Cluster = NoCluster
		}
		seen.Row = &row
	}
	n.sight, n.origin, n.bad = seen, origin{}, seen.Outcome != Answered
	n.lag, n.lagging = 0, false
	n.trouble = troubleOf(n, seen)
	if n.bad {
		return
	}
	n.origin = t.recognise(seen.Row)
	n.known, n.slave, n.row = true, seen.Slave, seen.Row
	n.facts = remember(n.facts, seen.Facts)
	if n.slave {
		n.tries, n.split, n.alias = 0, false, none
	}
	if n.row != nil {
		t.highest = max(t.highest, n.row.Cluster)
		if t.start != nil && !t.start.looked {
			t.latest = max(t.latest, n.row.Stamp)
		}
	}
}

// troubleOf returns why a node fails or what is wrong with it. A connect that
// goes on says nothing new about a node that was failing before.
func troubleOf(n *standing, seen Sighting) trouble {
	switch {
	case seen.Outcome == Connecting && seen.Reason == NoReason && n.failing:
		return n.trouble
	case seen.Outcome == Connecting && seen.Reason == NoReason:
		return trouble{reason: ReasonConnecting}
	}
	return trouble{seen.Reason, seen.Error}
}

// remember keeps what tells a server apart when a look could not read it.
func remember(before, now Facts) Facts {
	if now.SystemID == 0 {
		now.SystemID, now.Started, now.ServerPort = before.SystemID, before.Started, before.ServerPort
		now.ServerAddr, now.ServerVersion = before.ServerAddr, before.ServerVersion
	}
	return now
}

// plan decides which beats to send, and who leaves before they are sent.
func (t *turn) plan() {
	t.partDoubles()
	rivals := t.rivals()
	for i := range t.groups {
		t.planGroup(&t.groups[i], rivals[t.groups[i].id])
	}
	t.planFounding()
}

// rivals returns, by cluster, the members that answer as master and are not
// the cluster's.
func (t *turn) rivals() map[int][]int {
	var found map[int][]int
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.answersMaster() && n.member() && n.place != Master {
			if found == nil {
				found = map[int][]int{}
			}
			found[n.group] = append(found[n.group], i)
		}
	}
	return found
}

// planGroup sends the master its beat and, if the cluster may have another,
// the best candidate its first. Rivals beside a master in good order wait for
// the outcome of its beat.
func (t *turn) planGroup(g *group, rivals []int) {
	if g.master != none && t.exchanged(g) {
		t.ousted[g.id] = g.master
		t.leave(g.master, true)
	}
	if g.master != none && t.nodes[g.master].answersMaster() {
		t.send(toKeep, g.master, g.id)
		if !t.nodes[g.master].failing {
			return
		}
	}
	best := none
	for _, i := range rivals {
		switch {
		case !t.mayTake(i, g):
			t.leave(i, true)
		case best == none || t.compareCandidates(i, best) < 0:
			best = i
		}
	}
	if best != none {
		t.send(toTake, best, g.id)
	}
}

// exchanged says that what answers as the cluster's master is another server
// under its name, or an older copy of it: made anew or restored from a backup.
// One that did not fail in between is taken for what it was, whatever became
// of its row, as long as its system identifier does not differ.
func (t *turn) exchanged(g *group) bool {
	n := &t.nodes[g.master]
	if !n.answersMaster() {
		return false
	}
	if t.otherSystem(n, g) {
		return true
	}
	if !n.failing {
		return false
	}
	row := n.sight.Row
	switch {
	case row == nil:
		return g.system == 0 || n.sight.Facts.SystemID == 0
	case n.origin.ours && n.origin.group == g.id:
		return row.Stamp < g.ref.Stamp
	}
	return !n.origin.ours && row.Stamp < t.base
}

// compareCandidates orders those that may take a cluster: who was tried less
// often in vain, then timeline, then position, then configured order.
func (t *turn) compareCandidates(a, b int) int {
	x, y := &t.nodes[a], &t.nodes[b]
	return cmp.Or(
		cmp.Compare(x.tries, y.tries),
		cmp.Compare(y.sight.Facts.Timeline, x.sight.Facts.Timeline),
		cmp.Compare(y.sight.Facts.LSN, x.sight.Facts.LSN),
		cmp.Compare(a, b),
	)
}

// mayTake says whether a node that answers as master may take a cluster whose
// master is gone or suspect, by its row as read before this round's beat.
// Writers are never to be led to a stale or an empty server.
func (t *turn) mayTake(i int, g *group) bool {
	n := &t.nodes[i]
	row := n.sight.Row
	if row == nil {
		return false
	}
	ours := n.origin.ours && n.origin.group == g.id
	if !g.hasInLine(row.Master) && !(ours && row.Master == n.name) {
		return false
	}
	if n.origin.ours && !ours || t.otherSystem(n, g) {
		return false
	}
	if row.Master == n.name {
		if row.Stamp < g.ref.Stamp {
			return false
		}
		if g.last != n.name && !(ours && row.Stamp > g.ref.Stamp) {
			return false
		}
	}
	return !t.tooLate(i, g)
}

func (t *turn) otherSystem(n *standing, g *group) bool {
	id := n.sight.Facts.SystemID
	return id != 0 && g.system != 0 && id != g.system
}

// tooLate says that a candidate lacks more than its limit allows while another
// member is in sync.
func (t *turn) tooLate(i int, g *group) bool {
	lag, known := t.lagOf(i, g)
	if !known || lag <= t.nodes[i].MaxSyncDelay {
		return false
	}
	for j := range t.nodes {
		if n := &t.nodes[j]; j != i && n.group == g.id && n.place == Slave {
			return true
		}
	}
	return false
}
