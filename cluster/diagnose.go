package cluster

import (
	"fmt"
	"time"
)

// verdict is what is said of one cluster.
type verdict struct {
	word     Diagnosis
	evidence *Evidence // never written to once made
	splitOff bool      // it was split from a cluster that exists and is of the same system
}

// tally counts the members of one cluster other than its master, or its last.
type tally struct {
	others, inSync       int
	answering            int // with whatever word of a server
	hearing, cut, silent []int
	silentAnswers        bool // one of silent answers
}

// diagnose says one word of every cluster.
func (t *roundDraft) diagnose() {
	t.isolated = t.allStoppedAtOnce()
	masters := t.mastersBySystem()
	tallies := t.count()
	for i := range t.clusters {
		c := &t.clusters[i]
		y := tallies[c.id]
		v := verdict{splitOff: t.isSplitOff(c)}
		switch {
		case t.inTrouble(c):
			v.word, v.evidence = t.wordInTrouble(c, y), t.evidence(c, y)
		case v.splitOff:
			v.word = SplitOff
		case t.hasDouble(c, masters[c.system]):
			v.word = SplitBrain
		case y.others > 0 && y.inSync == 0:
			v.word = NoSlavesInSync
		default:
			v.word = OK
		}
		if t.isolated {
			v.word = MonitorIsolated
		}
		c.verdict = v
	}
}

func (t *roundDraft) inTrouble(c *clusterState) bool {
	return c.master == none || t.nodes[c.master].suspect()
}

// wordInTrouble says what is known of a master that is gone or suspect.
func (t *roundDraft) wordInTrouble(c *clusterState, y tally) Diagnosis {
	last := t.at(c.last)
	if last == none {
		return NoMaster
	}
	said := NoReason
	if t.nodes[last].cluster == c.id {
		said = t.nodes[last].trouble.reason
	}
	switch {
	case t.masterAnswers(c), said == ReasonUnwritable:
		return UnwritableMaster
	case said.letsNotIn():
		return RefusingMaster
	case len(y.hearing) > 0:
		return UnreachableMaster
	case said == ReasonBadAnswer && len(y.cut) == 0: // with its slaves cut it may be a proxy that speaks
		return RefusingMaster
	case said == ReasonResources && len(y.cut) == 0: // they may be the monitor's own
		return UnconfirmedMaster
	case y.others > 0 && y.answering == 0:
		return DeadMasterAndSlaves
	case len(y.silent) > 0 && (len(y.cut) == 0 || y.silentAnswers):
		return UnconfirmedMaster
	}
	return DeadMaster
}

func (t *roundDraft) evidence(c *clusterState, y tally) *Evidence {
	named := func(list []int) []string {
		names := make([]string, len(list))
		for i, n := range list {
			names[i] = t.nodes[n].name
		}
		return names
	}
	return &Evidence{Hears: named(y.hearing), Cut: named(y.cut), Silent: named(y.silent), LastWord: t.lastWord(c)}
}

func (t *roundDraft) count() map[int]tally {
	tallies := make(map[int]tally, len(t.clusters))
	known := &names{t: t}
	for i := range t.nodes {
		n := &t.nodes[i]
		c := t.find(n.cluster)
		if c == nil || n.name == c.last {
			continue
		}
		y := tallies[c.id]
		y.others++
		if n.place == Slave {
			y.inSync++
		}
		if n.answers() || n.failing && n.trouble.reason.fromServer() {
			y.answering++
		}
		switch t.testify(n, c, known) {
		case hears:
			y.hearing = append(y.hearing, i)
		case cut:
			y.cut = append(y.cut, i)
		case silent:
			y.silent = append(y.silent, i)
			y.silentAnswers = y.silentAnswers || n.answers()
		}
		tallies[c.id] = y
	}
	return tallies
}

// mastersBySystem returns the clusters with a master, by system identifier.
func (t *roundDraft) mastersBySystem() map[uint64][]int {
	found := map[uint64][]int{}
	for i := range t.clusters {
		if c := &t.clusters[i]; c.master != none && c.system != 0 {
			found[c.system] = append(found[c.system], i)
		}
	}
	return found
}

// isSplitOff reports whether a cluster was split from one that still exists and
// is of the same system.
func (t *roundDraft) isSplitOff(c *clusterState) bool {
	from := t.find(c.splitFrom)
	return from != nil && c.system != 0 && from.system == c.system && !from.otherLabel(c.label)
}

// hasDouble reports whether one of the other clusters, which have masters of the
// same system, split off from this one or is of unknown descent. Other labels
// make other clusters, and two names of one server are one master.
func (t *roundDraft) hasDouble(c *clusterState, others []int) bool {
	for _, i := range others {
		o := &t.clusters[i]
		if o.id == c.id || c.master == none || o.otherLabel(c.label) {
			continue
		}
		if id := t.nodes[o.master].identity(); id != (identity{}) && id == t.nodes[c.master].identity() {
			continue
		}
		if o.splitFrom == c.id || t.find(o.splitFrom) == nil {
			return true
		}
	}
	return false
}

// spotDoubles finds the slaves that are configured under two names.
func (t *roundDraft) spotDoubles() {
	first := make(map[identity]int, len(t.nodes))
	t.doubled = nil
	for i := range t.nodes {
		n := &t.nodes[i]
		id := n.identity()
		if id == (identity{}) || !n.slave {
			continue
		}
		j, twice := first[id]
		if !twice {
			first[id] = i
			continue
		}
		t.doubled = append(t.doubled, Warning{
			Kind: ListedTwice, Cluster: n.cluster, Node: n.name,
			Text: fmt.Sprintf("%s and %s are one server", t.nodes[j].name, n.name),
		})
	}
}

// aheadShown is for how long after a row far ahead of the clock was read it is
// warned of.
const aheadShown = 10 * time.Minute

// warnings returns what an operator should mend though no node is down.
func (s *State) warnings() []Warning {
	list := []Warning{}
	for i := range s.clusters {
		c := &s.clusters[i]
		for _, f := range c.foreign {
			if s.now-f.at > foreignShown {
				continue
			}
			list = append(list, Warning{
				Kind: SecondWriter, Cluster: c.id, Node: c.last,
				Text: fmt.Sprintf("something else writes the heartbeat row of %s as cluster %d, master %s", c.last, f.cluster, f.master),
			})
		}
	}
	for i := range s.nodes {
		if n := &s.nodes[i]; n.ahead != never && s.now-n.ahead <= aheadShown {
			list = append(list, Warning{
				Kind: FarAhead, Cluster: n.cluster, Node: n.name,
				Text: fmt.Sprintf("the heartbeat row read on %s is more than a day ahead of this machine's clock and counts for nothing", n.name),
			})
		}
	}
	return append(list, s.doubled...)
}
