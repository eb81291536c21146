package cluster

import "slices"

// Reconfigure returns the State under another configuration, and what a
// removed node's going tells. Places, ids and memories are kept. Whose master is
// removed keeps its place open for the next round: the same server may answer
// under a new name.
func (s State) Reconfigure(now Moment, config Config) (State, []Event) {
	t := roundDraft{State: s.clone(), look: now.Elapsed, end: now.Elapsed, wall: now.Wall}
	stays := make(map[Node]bool, len(config.Nodes))
	for _, n := range config.Nodes {
		stays[n.Node] = true
	}
	vacated := map[int]int{} // masters by cluster
	for i := range t.nodes {
		n := &t.nodes[i]
		if !n.member() || stays[n.Node] {
			continue
		}
		if n.place == Master {
			vacated[n.cluster] = i
		}
		t.leave(i)
	}
	for id, i := range vacated {
		entry := t.entry(i)
		t.find(id).vacant = &entry
	}
	t.sweep()
	for i, e := range t.pending {
		if e.node != none {
			entry := t.entry(e.node)
			t.pending[i].entry, t.pending[i].node = &entry, none
		}
	}
	t.rename(now, config)
	t.clusters = slices.Clip(t.clusters)
	t.diagnose()
	return t.State, t.events()
}

// rename takes the configuration over and sets anew what points to nodes by
// their index.
func (t *roundDraft) rename(now Moment, config Config) {
	aliases := map[string]string{}
	for i := range t.nodes {
		if a := t.nodes[i].alias; a != none {
			aliases[t.nodes[i].name] = t.nodes[a].name
		}
	}
	masters := make([]string, len(t.clusters))
	for i, c := range t.clusters {
		if c.master != none {
			masters[i] = t.nodes[c.master].name
		}
	}
	t.configure(now, config)
	for i := range t.clusters {
		t.clusters[i].master = t.at(masters[i])
	}
	for i := range t.nodes {
		t.nodes[i].alias = none
		if a, ok := aliases[t.nodes[i].name]; ok {
			t.nodes[i].alias = t.at(a)
		}
	}
}
