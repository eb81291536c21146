package cluster

import "slices"

// Reconfigure returns the State under another configuration, and what a
// removed node's going tells. Places, ids and memories are kept.
func (s State) Reconfigure(now Moment, config Config) (State, []Event) {
	t := turn{State: s.clone(), look: now.Elapsed, end: now.Elapsed, wall: now.Wall}
	stays := make(map[Node]bool, len(config.Nodes))
	for _, c := range config.Nodes {
		stays[c.Node] = true
	}
	var parted []told
	for i := range t.nodes {
		if n := &t.nodes[i]; n.member() && !stays[n.Node] {
			t.remove(i)
		}
	}
	t.sweep()
	for _, e := range t.told {
		if e.node != none {
			entry := t.entry(e.node)
			e.entry, e.node = &entry, none
		}
		parted = append(parted, e)
	}
	t.told = parted

	aliases := map[string]string{}
	for i := range t.nodes {
		if a := t.nodes[i].alias; a != none {
			aliases[t.nodes[i].name] = t.nodes[a].name
		}
	}
	names := make([]string, len(t.groups))
	for i, g := range t.groups {
		if g.master != none {
			names[i] = t.nodes[g.master].name
		}
	}
	t.configure(now, config)
	for i := range t.groups {
		t.groups[i].master = t.at(names[i])
	}
	for i := range t.nodes {
		t.nodes[i].alias = none
		if a, ok := aliases[t.nodes[i].name]; ok {
			t.nodes[i].alias = t.at(a)
		}
	}
	t.groups = slices.Clip(t.groups)
	t.diagnose()
	return t.State, t.events()
}

// remove takes a node that is no longer configured out of its cluster.
func (t *turn) remove(i int) {
	n := &t.nodes[i]
	if n.place == Master {
		g := t.find(n.group)
		t.tellMaster(MasterDown, g.id, i, g.last)
	}
	t.leave(i, false)
}
