package cluster

import (
	"fmt"
	"slices"
	"time"
)

// diagnose says one word of every cluster.
func (t *turn) diagnose() {
	t.isolated = t.allStoppedAtOnce()
	masters := map[uint64]int{}
	for i := range t.groups {
		if g := &t.groups[i]; g.master != none && g.system != 0 {
			masters[g.system]++
		}
	}
	counts := t.count()
	for i := range t.groups {
		g := &t.groups[i]
		t.groups[i].verdict = t.diagnosis(g, counts[g.id], masters[g.system] > 1)
	}
}

// tally counts the slaves of one cluster.
type tally struct {
	inSync, others int // other members than the master
	answering      int
	hearing        bool // one that streamed from the master still hears from it
}

func (t *turn) count() map[int]tally {
	counts := make(map[int]tally, len(t.groups))
	var known map[string][]string
	for i := range t.nodes {
		n := &t.nodes[i]
		g := t.find(n.group)
		if g == nil || n.name == g.last {
			continue
		}
		c := counts[g.id]
		c.others++
		if n.place == Slave {
			c.inSync++
		}
		if n.answers() {
			c.answering++
		}
		if t.hears(n, g) {
			if known == nil {
				known = t.namesAndAddresses()
			}
			c.hearing = c.hearing || !relayed(n.facts.Receiver.Upstream, g, known)
		}
		counts[g.id] = c
	}
	return counts
}

func (t *turn) diagnosis(g *group, c tally, doubled bool) Diagnosis {
	last := t.at(g.last)
	switch {
	case t.isolated:
		return MonitorIsolated
	case g.master != none && doubled:
		return SplitBrain
	case g.master == none && last != none && t.nodes[last].group == g.id && t.nodes[last].answers():
		return UnwritableMaster
	case g.master == none && c.hearing:
		return UnreachableMaster
	case g.master == none && c.others > 0 && c.answering == 0:
		return DeadMasterAndSlaves
	case g.master == none:
		return DeadMaster
	case t.nodes[g.master].suspect() && t.nodes[g.master].answersMaster():
		return UnwritableMaster
	case c.others > 0 && c.inSync == 0:
		return NoSlavesInSync
	}
	return OK
}

// hears says that a slave has heard from its upstream since the cluster's
// master stopped answering us. That it streams proves nothing: only news does,
// against what was seen in the round in which the master first failed.
func (t *turn) hears(n *standing, g *group) bool {
	last := t.at(g.last)
	if last == none {
		return false
	}
	if t.nodes[last].failing && t.nodes[last].failedAt == t.look && !n.answersSlave() {
		n.heard = Receiver{}
	}
	if !n.answersSlave() {
		return false
	}
	r := n.facts.Receiver
	if !t.nodes[last].failing || t.nodes[last].failedAt == t.look {
		n.heard = r
		return false
	}
	if !r.Known || !r.Running || !n.heard.Known || !n.heard.Running || r.Upstream != n.heard.Upstream {
		return false
	}
	return r.LastMessage > n.heard.LastMessage || r.Received > n.heard.Received
}

// relayed says that an upstream is a configured node and not the cluster's
// master. One that is known by no name or address may be the master under a
// name of its own: to call that master dead would be to say more than is known.
func relayed(upstream string, g *group, known map[string][]string) bool {
	names := known[upstream]
	return len(names) > 0 && !slices.Contains(names, g.last)
}

// namesAndAddresses returns the nodes by what slaves may call them.
func (t *turn) namesAndAddresses() map[string][]string {
	known := make(map[string][]string, 2*len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		known[n.name] = append(known[n.name], n.name)
		addr := Node{n.facts.ServerAddr, n.facts.ServerPort}.String()
		if n.facts.ServerAddr != "" && addr != n.name {
			known[addr] = append(known[addr], n.name)
		}
	}
	return known
}

// longGone is after how long a node that does not answer no longer counts
// among those that could have shown that the fault is here.
const longGone = 10 * time.Minute

// allStoppedAtOnce says that no node answers and that all of them, on at least
// two hosts, stopped in one round. Nodes long gone, or never seen, are left out.
func (t *turn) allStoppedAtOnce() bool {
	first := none
	hosts := false
	for i := range t.nodes {
		n := &t.nodes[i]
		switch {
		case n.answers():
			return false
		case !n.known:
		case first == none:
			first = i
		case n.failedAt != t.nodes[first].failedAt:
			older, newer := t.nodes[first].failedAt, n.failedAt
			if older > newer {
				older, newer = newer, older
			} else {
				first, hosts = i, false
			}
			if newer-older < longGone {
				return false
			}
		default:
			hosts = hosts || n.Node.Host != t.nodes[first].Node.Host
		}
	}
	return hosts
}

// spotDoubles finds the slaves that are configured under two names.
func (t *turn) spotDoubles() {
	first := make(map[identity]int, len(t.nodes))
	t.doubled = nil
	for i := range t.nodes {
		n := &t.nodes[i]
		id, ok := n.identity()
		if !ok || !n.slave {
			continue
		}
		j, twice := first[id]
		if !twice {
			first[id] = i
			continue
		}
		t.doubled = append(t.doubled, Warning{
			Kind: ListedTwice, Cluster: n.group, Node: n.name,
			Text: fmt.Sprintf("%s and %s are one server", t.nodes[j].name, n.name),
		})
	}
}

// warnings returns what an operator should mend though no node is down.
func (s *State) warnings() []Warning {
	list := []Warning{}
	for i := range s.groups {
		g := &s.groups[i]
		for _, f := range g.foreign {
			if s.now-f.at > foreignShown {
				continue
			}
			list = append(list, Warning{
				Kind: SecondWriter, Cluster: g.id, Node: g.last,
				Text: fmt.Sprintf("something else writes the heartbeat row of %s as cluster %d, master %s", g.last, f.cluster, f.master),
			})
		}
	}
	return append(list, s.doubled...)
}
