package cluster

import "slices"

// Settle ends the round: sent is what became of the beats and now when the
// last of them had its outcome. One that sent does not name counts as Unknown.
// Events are in the order in which they are to be told.
func (d Draft) Settle(now Moment, sent map[Node]BeatOutcome) (State, []Event) {
	t := d.draft
	t.State = t.State.clone()
	t.pending, t.copied = slices.Clone(t.pending), false
	t.end, t.wall = now.Elapsed, now.Wall

	t.spotForeign()
	confirmed := t.takeOutcomes(sent)
	if t.start == nil || t.start.looked {
		t.settlePlaces(confirmed)
	}
	t.close(confirmed)
	return t.State, t.events()
}

// settlePlaces says where every node stands now.
func (t *roundDraft) settlePlaces(confirmed []bool) {
	for _, k := range t.contests {
		t.settleContest(k, confirmed)
	}
	t.settleFounders(confirmed)
	for i := range t.nodes {
		t.settleSlave(i)
	}
	t.sweep()
	if t.start != nil {
		t.settleStart()
	}
}

// spotForeign looks for rows on masters that are not the last beat though that
// was confirmed: something else writes there.
func (t *roundDraft) spotForeign() {
	for i := range t.clusters {
		c := &t.clusters[i]
		if c.master == none {
			continue
		}
		n := &t.nodes[c.master]
		row := n.sight.Row
		if !n.answersMaster() || row == nil || c.ref.Master != n.name || !c.memory.confirmedAny() {
			continue
		}
		// A beat from before a restart is no more the last one than a stranger's.
		if !n.showsBeatOf(c) || row.Stamp < c.memory.anchor.stamp {
			c.note(row, t.look)
		}
	}
}

// takeOutcomes notes which beats were confirmed and which nodes fail, and
// remembers the beats.
func (t *roundDraft) takeOutcomes(sent map[Node]BeatOutcome) (confirmed []bool) {
	confirmed = make([]bool, len(t.nodes))
	beaten := make([]bool, len(t.nodes))
	for _, b := range t.beats {
		n := &t.nodes[b.node]
		outcome := sent[n.Node]
		ok := outcome.Verdict == Confirmed
		beaten[b.node], confirmed[b.node] = true, ok
		if !ok {
			t.takeRefusal(b, outcome)
		}
		t.rememberBeat(b, ok)
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		if !beaten[i] && n.answersMaster() && n.member() && n.tries > 0 {
			// Another was tried this time: what this one could not do it
			// cannot yet.
			n.bad, n.trouble = true, n.refusal
		}
		n.streak(t.look, t.end)
	}
	return confirmed
}

func (t *roundDraft) rememberBeat(sent plannedBeat, confirmed bool) {
	n := &t.nodes[sent.node]
	b := beat{stamp: t.row(sent).Stamp, master: n.name, confirmed: confirmed}
	if sent.purpose == toFound {
		n.attempts = n.attempts.add(b, 0)
		return
	}
	c := t.find(sent.cluster)
	if confirmed {
		c.tick(n.name, t.round, t.look, t.end)
	}
	b.mark = c.clock
	c.memory = c.memory.add(b, c.reach)
}

func (t *roundDraft) takeRefusal(b plannedBeat, outcome BeatOutcome) {
	n := &t.nodes[b.node]
	n.trouble = trouble{outcome.Reason, outcome.Error}
	if n.trouble.reason == NoReason {
		n.trouble.reason = ReasonTimeout
	}
	if b.purpose != toKeep {
		n.tries++
		n.refusal = n.trouble
	}
	n.bad = b.purpose != toFound || t.start != nil && t.start.claimOn(b.cluster) != nil
}

// settleContest says who is master of a cluster now. Should the beats of the
// master and of a candidate both be confirmed, the master stays.
func (t *roundDraft) settleContest(k contest, confirmed []bool) {
	c := t.find(k.cluster)
	switch {
	case k.incumbent != none && confirmed[k.incumbent]:
		for _, i := range k.rivals {
			t.splitOff(i)
		}
		t.noteSuccessor(c)
	case k.candidate != none && confirmed[k.candidate]:
		t.takeOver(c, k.candidate)
	case k.replaced != none:
		t.tellMaster(MasterDown, c.id, k.replaced, c.last)
	case c.vacant != nil:
		t.tellAbout(pendingEvent{kind: MasterDown, cluster: c.id, node: none, old: c.last, entry: c.vacant})
		c.vacant = nil
	case k.incumbent == none:
	case t.nodes[k.incumbent].answersSlave():
		t.demote(c)
	case t.nodes[k.incumbent].failedFor(t.config.FailInterval, t.look):
		t.tellMaster(MasterDown, c.id, c.master, c.last)
		t.put(c.master, Lost, c.id)
		c.master = none
	}
}

// noteSuccessor tells that behind the master's name is another master now, whose
// beat was just confirmed: its timeline is higher, or its system is another that
// carries on with this one's row.
func (t *roundDraft) noteSuccessor(c *clusterState) {
	n := &t.nodes[c.master]
	row := n.sight.Row
	higher := c.timeline != 0 && n.facts.Timeline > c.timeline && row != nil && c.hasInLine(row.Master)
	if higher && !n.sameServer(c) || n.otherSystem(c) {
		t.tellMaster(MasterUp, c.id, c.master, c.last)
	}
}

// takeOver makes a candidate the master.
func (t *roundDraft) takeOver(c *clusterState, i int) {
	if !t.nodes[i].member() {
		t.tell(NodeJoined, c.id, i)
	}
	old := c.last
	if c.master != none {
		t.put(c.master, Lost, c.id)
	}
	t.put(i, Master, c.id)
	n := &t.nodes[i]
	n.alias, n.splitFrom, n.reserved, n.attempts = none, NoCluster, NoCluster, memory{}
	c.setMaster(i, n)
	for j := range t.nodes {
		if t.nodes[j].cluster == c.id {
			t.nodes[j].tries = 0
		}
	}
	t.tellMaster(MasterUp, c.id, i, old)
}

// demote takes a master that answers as a slave from its place. While nothing
// replaced it and its row is the cluster's newest beat it is in sync by
// definition.
func (t *roundDraft) demote(c *clusterState) {
	i := c.master
	n := &t.nodes[i]
	t.tellMaster(MasterDown, c.id, i, c.last)
	c.master = none
	t.put(i, Lost, c.id)
	if row := n.sight.Row; n.follows(c) && row.Master == n.name && row.latest() >= c.ref.Stamp {
		t.put(i, Slave, c.id)
		t.tell(SlaveUp, c.id, i)
	}
}

// settleFounders makes the clusters whose founding beats were confirmed.
func (t *roundDraft) settleFounders(confirmed []bool) {
	tried := t.reservations()
	for _, b := range t.beats {
		if b.purpose != toFound || !confirmed[b.node] {
			continue
		}
		n := &t.nodes[b.node]
		c := newClusterState(b.cluster)
		c.clockAt, c.clockRound, c.clockMaster = t.end, t.round, n.name
		c.splitFrom = n.splitFrom
		if t.start != nil {
			if k := t.start.claimOn(b.cluster); k != nil {
				c.line = []string{k.owner}
			}
		}
		kind := ClusterUp
		if n.splitFrom != NoCluster {
			kind = ClusterSplit
		}
		t.found(c, tried[b.cluster]).setMaster(b.node, n)
		n.splitFrom, n.tries, n.alias = NoCluster, 0, none
		t.put(b.node, Master, b.cluster)
		t.tell(kind, b.cluster, b.node)
	}
}

// reservations returns the nodes that were tried for each id not yet founded.
func (t *roundDraft) reservations() map[int][]int {
	tried := map[int][]int{}
	for i := range t.nodes {
		if id := t.nodes[i].reserved; id != NoCluster {
			tried[id] = append(tried[id], i)
		}
	}
	return tried
}

// sweep removes the clusters that have no member left, but for one whose place is
// kept.
func (t *roundDraft) sweep() {
	members := map[int]bool{}
	for i := range t.nodes {
		members[t.nodes[i].cluster] = true
	}
	empty := func(c clusterState) bool { return !members[c.id] && c.vacant == nil }
	for i := range t.clusters {
		if c := t.clusters[i]; empty(c) {
			t.tell(ClusterGone, c.id, none)
			t.gone = append(slices.Clip(t.gone), c)
		}
	}
	t.gone = t.gone[max(0, len(t.gone)-goneKept):]
	t.clusters = slices.DeleteFunc(t.clusters, empty)
}

// close brings up to date what the next round and the snapshot go by.
func (t *roundDraft) close(confirmed []bool) {
	for i := range t.clusters {
		c := &t.clusters[i]
		if b, ok := c.memory.newest(); ok {
			c.ref = Row{Cluster: c.id, Master: b.master, Stamp: b.stamp}
		}
		if c.master != none && confirmed[c.master] {
			c.noteServer(&t.nodes[c.master])
		}
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		c := t.find(n.cluster)
		if c == nil {
			continue
		}
		c.reach = max(c.reach, n.MaxSyncDelay)
		if n.answersSlave() {
			n.lag, n.lagKnown = t.lagOf(i, c)
		}
	}
	t.now, t.State.wall, t.took = t.end, t.wall, t.end-t.look
	t.diagnose()
	t.spotDoubles()
}
