package cluster

import "slices"

// Settle ends the round: sent is what became of the beats and now when the
// last of them had its outcome. One that sent does not name counts as Unknown.
// Events are in the order in which they are to be told.
func (d Draft) Settle(now Moment, sent map[Node]BeatOutcome) (State, []Event) {
	t := d.turn
	t.State = t.State.clone()
	t.told, t.copied = slices.Clone(t.told), false
	t.end, t.wall = now.Elapsed, now.Wall

	t.spotForeign()
	confirmed := t.takeOutcomes(sent)
	t.settleMasters(confirmed)
	t.settleFounders(confirmed)
	for i := range t.nodes {
		t.settleSlave(i)
	}
	t.sweep()
	if t.start != nil {
		t.settleStart()
	}
	t.close()
	return t.State, t.events()
}

// spotForeign looks for rows on masters that are not the last beat though that
// was confirmed: something else writes there.
func (t *turn) spotForeign() {
	for i := range t.groups {
		g := &t.groups[i]
		if g.master == none {
			continue
		}
		n := &t.nodes[g.master]
		row := n.sight.Row
		ours := n.origin.ours && n.origin.group == g.id
		if n.answersMaster() && row != nil && !ours && g.ref.Master == n.name && g.memory.confirmedAny() {
			g.note(row, t.look)
		}
	}
}

// takeOutcomes notes which beats were confirmed and which nodes fail, and
// remembers the beats.
func (t *turn) takeOutcomes(sent map[Node]BeatOutcome) []bool {
	confirmed := make([]bool, len(t.nodes))
	for _, e := range t.errands {
		n := &t.nodes[e.node]
		outcome := sent[n.Node]
		ok := outcome.Verdict == Confirmed
		confirmed[e.node] = ok
		if !ok {
			t.takeRefusal(e, outcome)
		}
		b := beat{stamp: t.row(e).Stamp, master: n.name, confirmed: ok}
		if e.purpose == toFound {
			n.attempts = n.attempts.add(b, 0)
			continue
		}
		g := t.find(e.group)
		if ok {
			g.tick(n.name, t.round, t.look, t.end)
		}
		b.mark = g.clock
		g.memory = g.memory.add(b, g.reach)
	}
	for i := range t.nodes {
		t.nodes[i].streak(t.look, t.end)
	}
	return confirmed
}

func (t *turn) takeRefusal(e errand, outcome BeatOutcome) {
	n := &t.nodes[e.node]
	n.trouble = trouble{outcome.Reason, outcome.Error}
	if n.trouble.reason == NoReason {
		n.trouble.reason = ReasonTimeout
	}
	if e.purpose != toKeep {
		n.tries++
	}
	n.bad = e.purpose != toFound || t.start != nil && t.start.claimOn(e.group) != nil
}

// settleMasters says who is master of each cluster now.
func (t *turn) settleMasters(confirmed []bool) {
	candidates := map[int]int{}
	for _, e := range t.errands {
		if e.purpose == toTake {
			candidates[e.group] = e.node
		}
	}
	rivals := t.rivals()
	for i := range t.groups {
		g := &t.groups[i]
		candidate, tried := candidates[g.id]
		switch {
		case g.master != none && confirmed[g.master]:
			for _, rival := range rivals[g.id] {
				t.leave(rival, true)
			}
		case tried && confirmed[candidate]:
			t.crown(g, candidate)
		case g.master == none:
			if old, ok := t.ousted[g.id]; ok {
				t.tellMaster(MasterDown, g.id, old, g.last)
			}
		case t.nodes[g.master].answersSlave():
			t.demote(g)
		case t.nodes[g.master].failedFor(t.config.FailInterval, t.look):
			t.tellMaster(MasterDown, g.id, g.master, g.last)
			t.put(g.master, Lost, g.id)
			g.master = none
		}
	}
}

// crown makes a candidate the master.
func (t *turn) crown(g *group, i int) {
	if !t.nodes[i].member() {
		t.tell(NodeJoined, g.id, i)
	}
	old := g.last
	if g.master != none {
		t.put(g.master, Lost, g.id)
	}
	t.put(i, Master, g.id)
	n := &t.nodes[i]
	n.alias, n.split = none, false
	g.enthrone(i, n.name)
	if n.facts.SystemID != 0 {
		g.system = n.facts.SystemID
	}
	for j := range t.nodes {
		if t.nodes[j].group == g.id {
			t.nodes[j].tries = 0
		}
	}
	t.tellMaster(MasterUp, g.id, i, old)
}

// demote takes a master that answers as a slave from its place. While nothing
// replaced it and its row is the cluster's newest beat it is in sync by
// definition.
func (t *turn) demote(g *group) {
	i := g.master
	n := &t.nodes[i]
	t.tellMaster(MasterDown, g.id, i, g.last)
	g.master = none
	t.put(i, Lost, g.id)
	row := n.sight.Row
	if n.origin.ours && n.origin.group == g.id && row.Master == n.name && row.Stamp >= g.ref.Stamp {
		t.put(i, Slave, g.id)
		t.tell(SlaveUp, g.id, i)
	}
}

// settleFounders makes the clusters whose founding beats were confirmed.
func (t *turn) settleFounders(confirmed []bool) {
	tried := t.reservations()
	for _, e := range t.errands {
		if e.purpose != toFound || !confirmed[e.node] {
			continue
		}
		n := &t.nodes[e.node]
		g := group{id: e.group, master: none, system: n.facts.SystemID, clockAt: t.end, clockRound: t.round, clockMaster: n.name}
		if t.start != nil {
			if c := t.start.claimOn(e.group); c != nil {
				g.line = []string{c.owner}
			}
		}
		made := t.found(g, tried[e.group])
		made.enthrone(e.node, n.name)
		kind := ClusterUp
		if n.split {
			kind = ClusterSplit
		}
		n.split, n.tries, n.alias = false, 0, none
		t.put(e.node, Master, e.group)
		t.tell(kind, e.group, e.node)
	}
}

// reservations returns the nodes that were tried for each id not yet founded.
func (t *turn) reservations() map[int][]int {
	tried := map[int][]int{}
	for i := range t.nodes {
		if id := t.nodes[i].reserved; id != NoCluster {
			tried[id] = append(tried[id], i)
		}
	}
	return tried
}

// sweep removes the clusters that have no member left.
func (t *turn) sweep() {
	members := map[int]bool{}
	for i := range t.nodes {
		members[t.nodes[i].group] = true
	}
	for i := range t.groups {
		if g := t.groups[i]; !members[g.id] {
			t.tell(ClusterGone, g.id, none)
			t.gone = append(slices.Clip(t.gone), g)
		}
	}
	t.gone = t.gone[max(0, len(t.gone)-goneKept):]
	t.groups = slices.DeleteFunc(t.groups, func(g group) bool { return !members[g.id] })
}

// close brings up to date what the next round and the snapshot go by.
func (t *turn) close() {
	for i := range t.groups {
		g := &t.groups[i]
		if b, ok := g.memory.newest(); ok {
			g.ref = Row{Cluster: g.id, Master: b.master, Stamp: b.stamp}
		}
		if g.master != none && t.nodes[g.master].facts.SystemID != 0 {
			g.system = t.nodes[g.master].facts.SystemID
		}
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		g := t.find(n.group)
		if g == nil {
			continue
		}
		g.reach = max(g.reach, n.MaxSyncDelay)
		if n.answersSlave() {
			n.lag, n.lagging = t.lagOf(i, g)
		}
	}
	t.now, t.State.wall, t.took = t.end, t.wall, t.end-t.look
	t.diagnose()
	t.spotDoubles()
}
