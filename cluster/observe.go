package cluster

import "time"

// Draft is a round that has been looked at but not settled.
type Draft struct{ draft roundDraft }

// Observe takes in what was seen of every node; one that seen does not name
// counts as connecting. now is when the look began.
func (s State) Observe(now Moment, seen map[Node]Sighting) Draft {
	t := roundDraft{State: s.clone(), look: now.Elapsed, end: now.Elapsed, wall: now.Wall}
	t.round++
	for i := range t.nodes {
		t.takeIn(&t.nodes[i], seen[t.nodes[i].Node])
	}
	for i := range t.clusters {
		t.clusters[i].reading = t.clusters[i].clock
	}
	if t.start != nil && !t.start.looked {
		t.finishLook()
	}
	if t.start == nil || t.start.looked {
		for i := range t.nodes {
			t.learn(&t.nodes[i])
		}
		t.plan()
	}
	return Draft{t}
}

// Beats returns the beats to be sent now, at most one a node.
func (d Draft) Beats() []Beat {
	beats := make([]Beat, len(d.draft.beats))
	for i, b := range d.draft.beats {
		beats[i] = Beat{Node: d.draft.nodes[b.node].Node, Row: d.draft.row(b)}
	}
	return beats
}

// takeIn brings what is known of a node up to date with its sighting.
func (t *roundDraft) takeIn(n *nodeState, seen Sighting) {
	n.wasFine = (n.place == Master || n.place == Slave) && !n.failing
	n.wasKnown = n.known
	if seen.Row != nil {
		row := *seen.Row
		row.Master = CanonicalName(row.Master)
		if row.Cluster < 0 || row.Cluster > MaxCluster {
			row.Cluster = NoCluster
		}
		seen.Row = &row
	}
	n.sight, n.origin, n.bad = seen, origin{}, seen.Outcome != Answered
	n.lag, n.lagKnown = 0, false
	n.trouble = troubleOf(n, seen)
	if n.bad {
		return
	}
	n.origin = t.recognise(seen.Row)
	n.known, n.slave, n.row = true, seen.Slave, seen.Row
	n.facts = remember(n.facts, seen.Facts)
	if n.slave {
		n.tries, n.splitFrom, n.alias = 0, NoCluster, none
	}
	t.takeInRow(n)
}

// farAhead is by how much a row may be ahead of the wall clock. One that is more
// is poison: it would rule over all clusters, and is no claim.
const farAhead = 24 * time.Hour

// takeInRow lets the node's row raise the ids and, at start, the stamps.
func (t *roundDraft) takeInRow(n *nodeState) {
	switch {
	case n.row == nil:
	case !n.origin.ours && t.farAhead(n.row):
		n.ahead = t.look
	default:
		t.highest = max(t.highest, n.row.Cluster)
		if t.start != nil && !t.start.looked {
			t.latest = max(t.latest, n.row.Stamp)
		}
	}
}

func (t *roundDraft) farAhead(row *Row) bool {
	return row.Stamp.Sub(Stamp(t.wall.UnixMicro())) > farAhead
}

// troubleOf returns why a node fails or what is wrong with it. A connect that
// goes on says nothing new about a node that was failing before.
func troubleOf(n *nodeState, seen Sighting) trouble {
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
func (t *roundDraft) plan() {
	t.partDoubles()
	t.planContests()
	t.planFounding()
	if t.start != nil && t.start.firstBeat == never && len(t.beats) > 0 {
		t.start.firstBeat = t.look
	}
}
