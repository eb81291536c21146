package cluster

import (
	"slices"
	"time"
)

// State is all that is remembered from one round to the next. The zero State
// knows no node; use New.
type State struct {
	config Config
	index  map[string]int // configured names; never written to once made
	now    time.Duration  // when the last round ended, by both clocks
	wall   time.Time
	took   time.Duration
	base   Stamp // the stamp of elapsed 0
	latest Stamp // the latest stamp seen in a row before the first beat
	round  uint64

	nodes    []nodeState    // in configured order
	clusters []clusterState // by id
	gone     []clusterState // dissolved ones, whose rows may still turn up

	highest  int          // the highest id seen in a row or used
	taken    map[int]bool // ids used, claimed or reserved; copied when written
	founded  uint64
	start    *startup // nil once the start has settled; copied each round
	isolated bool
	doubled  []Warning
	eventID  int64
}

const goneKept = 64

// New returns the State of a monitor that starts at now and has seen nothing.
func New(now Moment, config Config) State {
	s := State{
		base:    Stamp(now.Wall.UnixMicro()).Add(-now.Elapsed),
		highest: NoCluster,
		taken:   map[int]bool{},
		start:   newStartup(),
	}
	s.configure(now, config)
	return s
}

// configure sets the nodes, keeping what is known of those that stay.
func (s *State) configure(now Moment, config Config) {
	before, known := s.nodes, s.index
	s.config = config
	s.nodes = make([]nodeState, len(config.Nodes))
	s.index = make(map[string]int, len(config.Nodes))
	for i, c := range config.Nodes {
		n := newNodeState(c, now.Wall)
		if old, ok := known[n.name]; ok {
			n = before[old]
			n.NodeConfig = c
		}
		s.nodes[i], s.index[n.name] = n, i
	}
}

// clone returns a copy that may be written to.
func (s State) clone() State {
	s.nodes = slices.Clone(s.nodes)
	s.clusters = slices.Clone(s.clusters)
	if s.start != nil {
		s.start = s.start.clone()
	}
	return s
}

func (s *State) stamp(elapsed time.Duration) Stamp { return s.base.Add(elapsed) }

// find returns the cluster of that id, nil if there is none.
func (s *State) find(id int) *clusterState {
	i, ok := s.place(id)
	if !ok {
		return nil
	}
	return &s.clusters[i]
}

func (s *State) place(id int) (int, bool) {
	return slices.BinarySearchFunc(s.clusters, id, func(c clusterState, id int) int { return c.id - id })
}

func (s *State) insert(c clusterState) *clusterState {
	i, _ := s.place(c.id)
	s.clusters = slices.Insert(s.clusters, i, c)
	return &s.clusters[i]
}

// at returns the index of the node of that name, none if it is not configured.
func (s *State) at(name string) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	return none
}

// freshID returns the id for a cluster whose master's row gives none.
func (s *State) freshID() int {
	if s.highest < MaxCluster {
		return s.highest + 1
	}
	id := 0
	for s.taken[id] {
		id++
	}
	return id
}

// recognise says whose beat of this run a row is, and completes its stamp if
// it is coarse.
func (s *State) recognise(row *Row) origin {
	if row == nil || row.Cluster == NoCluster {
		return origin{}
	}
	if c := s.find(row.Cluster); c != nil {
		return recall(row, c.memory, c.line)
	}
	for i := range s.gone {
		if c := &s.gone[i]; c.id == row.Cluster {
			return recall(row, c.memory, c.line)
		}
	}
	if s.taken[row.Cluster] {
		for i := range s.nodes {
			if n := &s.nodes[i]; n.reserved == row.Cluster {
				return recall(row, n.attempts, nil)
			}
		}
	}
	return origin{}
}

func recall(row *Row, m memory, line []string) origin {
	if stamp, ok := m.match(*row); ok {
		row.Stamp, row.Coarse = stamp, false
		return origin{ours: true, cluster: row.Cluster}
	}
	if m.forgot(row.Stamp) && slices.Contains(line, row.Master) {
		return origin{ours: true, cluster: row.Cluster}
	}
	return origin{}
}

// Unsettled reports whether the next round should not wait for the next
// heartbeat: the start lasts, a member is suspect, a second master is being
// judged, or a cluster lost its master not long ago.
func (s State) Unsettled(now Moment) bool {
	if s.start != nil {
		return true
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		second := n.answersMaster() && n.member() && n.place != Master
		founding := n.splitFrom != NoCluster && n.reserved == NoCluster && n.alias == none && n.answersMaster()
		if n.suspect() || second || founding {
			return true
		}
	}
	for i := range s.clusters {
		c := &s.clusters[i]
		if c.vacant != nil || c.master == none && now.Elapsed-c.changed <= masterlessHaste {
			return true
		}
	}
	return false
}

// Deadline returns when, by the clock of Moment.Elapsed, the next suspect is to
// be declared down if it goes on failing, and whether there is one. A round
// should begin then.
func (s State) Deadline() (time.Duration, bool) {
	first, found := time.Duration(0), false
	for i := range s.nodes {
		n := &s.nodes[i]
		if due := n.failsFrom + s.config.FailInterval; n.suspect() && (!found || due < first) {
			first, found = due, true
		}
	}
	return first, found
}

// Urgent reports whether a look at a node that failed must not be put off: the start
// has not settled, the node is suspect, or its cluster lost its master a short
// time ago and it may be the next.
func (s State) Urgent(now Moment, node Node) bool {
	i := s.at(node.String())
	if i == none || s.start != nil || s.nodes[i].suspect() {
		return true
	}
	c := s.find(s.nodes[i].cluster)
	return c != nil && c.master == none && now.Elapsed-c.changed < masterlessUrgency
}

// masterlessUrgency is for how long after its last change the members of a
// cluster without a master are urgent.
const masterlessUrgency = 5 * time.Minute

// masterlessHaste is for how long after its last change a cluster without a
// master keeps rounds coming early.
const masterlessHaste = 10 * time.Minute
