package cluster

import "fmt"

// Snapshot returns what everybody else may read.
func (s State) Snapshot() Snapshot {
	view := Snapshot{
		Round:       s.round,
		Took:        s.took,
		At:          s.wall,
		Starting:    s.start != nil,
		Clusters:    make([]Cluster, len(s.clusters)),
		Clusterless: []Entry{},
		Nodes:       make(map[string]Detail, len(s.nodes)),
		Warnings:    s.warnings(),
	}
	at := make(map[int]int, len(s.clusters))
	for i := range s.clusters {
		c := &s.clusters[i]
		at[c.id] = i
		view.Clusters[i] = Cluster{
			ID: c.id, Slaves: []Entry{}, Lost: []Entry{}, Starting: !c.opened,
			Diagnosis: c.verdict.word, Evidence: c.verdict.evidence, SplitFrom: known(c.verdict.splitOff, c.splitFrom),
		}
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		entry := s.entry(i)
		view.Nodes[n.name] = s.detail(n)
		if !n.member() {
			view.Clusterless = append(view.Clusterless, entry)
			continue
		}
		c := &view.Clusters[at[n.cluster]]
		if c.Name == "" || n.place == Master && n.ClusterName != "" {
			c.Name = n.ClusterName
		}
		switch n.place {
		case Master:
			c.HasMaster, c.Master = true, &entry
		case Slave:
			c.Slaves = append(c.Slaves, entry)
		default:
			c.Lost = append(c.Lost, entry)
		}
	}
	return view
}

func (s *State) detail(n *nodeState) Detail {
	d := Detail{
		State: n.place, Since: n.since, Suspect: n.suspect(), ClusterName: n.ClusterName,
		ReplayPaused: n.facts.ReplayPaused, SyncBlocked: n.facts.SyncBlocked,
		SystemIdentifier: known(n.facts.SystemID != 0, formatSystem(n.facts.SystemID)),
		ServerVersion:    known(n.facts.ServerVersion != 0, n.facts.ServerVersion),
		Timeline:         known(n.facts.Timeline != 0, n.facts.Timeline),
		LSN:              known(n.facts.LSN != 0, n.facts.LSN.String()),
		Upstream:         known(n.facts.Receiver.Upstream != "", n.facts.Receiver.Upstream),
		Lag:              known(n.lagKnown, n.lag.Seconds()),
		LatencyMS:        known(n.answers() && n.sight.Latency > 0, float64(n.sight.Latency.Microseconds())/1e3),
	}
	if n.row != nil {
		d.Timestamp = known(true, float64(n.row.Stamp)/1e6)
	}
	reason := s.reason(n)
	d.Reason = known(reason != NoReason, reason)
	text := s.remark(n)
	d.Error = known(text != "", text)
	if c := s.find(n.cluster); c != nil && c.master != none && n.slave && n.facts.ReplayLSN != 0 {
		if written := s.nodes[c.master].facts.LSN; written != 0 {
			d.LagBytes = known(true, max(0, int64(written-n.facts.ReplayLSN)))
		}
	}
	return d
}

// remark says for people what is wrong with a node.
func (s *State) remark(n *nodeState) string {
	switch c := s.find(n.cluster); {
	case n.trouble.text != "":
		return n.trouble.text
	case n.place == Lost && s.ofOtherSystem(n):
		return fmt.Sprintf("its system identifier is %d, that of its cluster %d: it cannot follow, rebuild it from the master",
			n.facts.SystemID, c.system)
	case n.place == Master && c.verdict.splitOff && s.find(c.splitFrom).master == none && s.find(c.splitFrom).last == n.name:
		return fmt.Sprintf("it came back as an older copy of the master of cluster %d; to let it go on as that, take it out of "+
			"nodes and reload, write cluster_id %d and the present time into its heartbeat row, and put it back", c.splitFrom, c.splitFrom)
	}
	return ""
}

// reason returns the word for what is wrong with a node.
func (s *State) reason(n *nodeState) Reason {
	switch {
	case n.trouble.reason != NoReason:
		return n.trouble.reason
	case n.alias != none:
		return ReasonAlias
	case n.place == Lost && n.lagKnown && s.ofOtherSystem(n):
		return ReasonOtherSystem
	case n.place == Lost && n.lagKnown && n.lag > n.RecoverSyncDelay:
		return ReasonLag
	case n.place == Lost:
		return ReasonUnproven
	}
	return NoReason
}

// ofOtherSystem reports whether what was last known of a member is that its data
// is not of its cluster's system.
func (s *State) ofOtherSystem(n *nodeState) bool {
	c := s.find(n.cluster)
	return n.facts.SystemID != 0 && c.system != 0 && n.facts.SystemID != c.system
}

func known[T any](ok bool, v T) *T {
	if !ok {
		return nil
	}
	return &v
}
