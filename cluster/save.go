package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// savedVersion is the version of what Save writes. Restore reads no other.
const savedVersion = 1

// SavedSize bounds what Restore reads, in bytes. It is room for some hundred
// thousand nodes.
const SavedSize = 64 << 20

// lineKept bounds how many names of a cluster's line are saved: the last ones.
const lineKept = 256

// saved is a State at rest: what was last told, and what tells servers apart.
type saved struct {
	Version  int            `json:"version"`
	SavedAt  time.Time      `json:"saved_at"`
	EventID  int64          `json:"event_id"`
	Stamp    Stamp          `json:"stamp"` // none is later
	Highest  int            `json:"highest_id"`
	Clusters []savedCluster `json:"clusters"`
	Nodes    []savedNode    `json:"nodes"`
}

type savedCluster struct {
	ID        int          `json:"id"`
	Last      string       `json:"last_master"`
	Line      []string     `json:"line"`
	Label     string       `json:"label,omitempty"`
	Founded   uint64       `json:"founded"`
	SplitFrom int          `json:"split_from"` // NoCluster if from none
	Server    savedServer  `json:"server"`
	Timeline  uint32       `json:"timeline,omitempty"`
	Rebuilt   bool         `json:"rebuilt,omitempty"`
	Ref       savedRow     `json:"reference"`
	First     Stamp        `json:"first_beat"` // 0: none was sent
	Foreign   []savedClaim `json:"foreign,omitempty"`
}

type savedServer struct {
	System  uint64 `json:"system,omitempty,string"`
	Started int64  `json:"started,omitempty"`
	Port    int    `json:"port,omitempty"`
}

type savedRow struct {
	Cluster int    `json:"cluster_id"`
	Master  string `json:"master"`
	Stamp   Stamp  `json:"stamp"`
}

type savedClaim struct {
	Cluster int    `json:"cluster_id"`
	Master  string `json:"master"`
}

type savedNode struct {
	Host      string      `json:"host"`
	Port      int         `json:"port"`
	Place     Place       `json:"place"`
	Cluster   int         `json:"cluster_id"` // NoCluster if clusterless
	Since     time.Time   `json:"since"`
	Server    savedServer `json:"server"`
	SplitFrom int         `json:"split_from"` // NoCluster if it left none as a master
	Alias     string      `json:"alias,omitempty"`
	Witness   string      `json:"witness_of,omitempty"`
}

// Save returns what Restore needs to go on after a restart as after a
// suspension: clusters and places as they were last told. It is worth writing
// when the start has settled, and then only when an event was told: what else is
// in it the rows tell anew. It changes nothing.
func (s State) Save() []byte {
	rest := saved{
		Version: savedVersion, SavedAt: s.wall, EventID: s.eventID, Stamp: s.stamp(s.now), Highest: s.highest,
		Clusters: make([]savedCluster, len(s.clusters)), Nodes: make([]savedNode, len(s.nodes)),
	}
	for i := range s.clusters {
		rest.Clusters[i] = s.clusters[i].save()
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		rest.Nodes[i] = savedNode{
			Host: n.Node.Host, Port: n.Node.Port, Place: n.place, Cluster: n.cluster, Since: n.since,
			Server: saveServer(n.identity()), SplitFrom: n.splitFrom, Witness: n.witness.of,
		}
		if n.alias != none {
			rest.Nodes[i].Alias = s.nodes[n.alias].name
		}
	}
	data, err := json.Marshal(rest)
	if err != nil {
		panic(err) // times are of this era, and all else can be written
	}
	return data
}

func (c *clusterState) save() savedCluster {
	rest := savedCluster{
		ID: c.id, Last: c.last, Line: c.line[max(0, len(c.line)-lineKept):], Label: c.label,
		Founded: c.founded, SplitFrom: c.splitFrom, Server: saveServer(c.server), Timeline: c.timeline,
		Rebuilt: c.rebuilt, Ref: savedRow{c.ref.Cluster, c.ref.Master, c.ref.Stamp}, First: c.memory.first,
	}
	rest.Server.System = c.system
	if !slices.Contains(rest.Line, c.last) {
		rest.Line = append(slices.Clone(rest.Line), c.last)
	}
	for _, f := range c.foreign {
		rest.Foreign = append(rest.Foreign, savedClaim{f.cluster, f.master})
	}
	return rest
}

func saveServer(id identity) savedServer { return savedServer{id.system, id.started, id.port} }

// Restore returns the State of a monitor that starts at now with what Save
// returned when it, or one before it, ran. Nodes that are no longer configured
// have left, new ones are clusterless. Like that of New the State starts, and
// tells nothing but plusmoin_up until that has settled; rows that are newer than
// what was saved count for more. An error says why the saved cannot be used: it
// is damaged, contradicts itself or is of another version.
func Restore(now Moment, config Config, data []byte) (State, error) {
	rest, err := parseSaved(data)
	if err != nil {
		return State{}, fmt.Errorf("saved state: %w", err)
	}
	s := New(now, config)
	s.eventID, s.highest = rest.EventID, max(NoCluster, rest.Highest)
	if rest.Stamp.Sub(Stamp(now.Wall.UnixMicro())) <= farAhead {
		s.latest = rest.Stamp
	}
	s.start.restored = map[string]bool{}
	for _, c := range rest.Clusters {
		s.founded = max(s.founded, c.Founded)
		s.highest = max(s.highest, c.ID)
		s.taken[c.ID] = true
		s.insert(c.state(rest.Stamp))
	}
	for _, n := range rest.Nodes {
		s.restoreNode(n)
	}
	for _, n := range rest.Nodes {
		i, k := s.at(n.node().String()), s.at(n.Alias)
		if i != none && k != none && i != k {
			s.nodes[i].alias = k
		}
	}
	s.dropEmpty()
	return s, nil
}

func (n savedNode) node() Node { return Node{n.Host, n.Port} }

func (s *State) restoreNode(saved savedNode) {
	name := saved.node().String()
	i := s.at(name)
	if i == none {
		return
	}
	n := &s.nodes[i]
	n.place, n.cluster, n.since, n.splitFrom = saved.Place, saved.Cluster, saved.Since, saved.SplitFrom
	n.facts.SystemID, n.facts.Started, n.facts.ServerPort = saved.Server.System, saved.Server.Started, saved.Server.Port
	n.witness.of = saved.Witness
	if n.place == Master {
		s.find(n.cluster).master = i
	}
	s.start.restored[name] = n.place == Clusterless
}

// dropEmpty removes the clusters none of whose members is configured any more.
func (s *State) dropEmpty() {
	members := map[int]bool{}
	for i := range s.nodes {
		members[s.nodes[i].cluster] = true
	}
	s.clusters = slices.DeleteFunc(s.clusters, func(c clusterState) bool { return !members[c.id] })
}

// state returns the cluster as it was when its beats had stamps up to latest. They
// were this monitor's, and are remembered as forgotten ones.
func (c savedCluster) state(latest Stamp) clusterState {
	s := newClusterState(c.ID)
	s.last, s.line, s.label, s.founded, s.splitFrom = c.Last, c.Line, c.Label, c.Founded, c.SplitFrom
	s.system, s.timeline, s.rebuilt = c.Server.System, c.Timeline, c.Rebuilt
	if c.Server.Started != 0 {
		s.server = identity{c.Server.System, c.Server.Started, c.Server.Port}
	}
	if c.First != 0 {
		s.memory = memory{first: c.First, thinned: latest}
	}
	s.ref = Row{Cluster: c.Ref.Cluster, Master: c.Ref.Master, Stamp: c.Ref.Stamp}
	for _, f := range c.Foreign {
		s.foreign = append(s.foreign, foreign{f.Cluster, f.Master, never})
	}
	return s
}

func parseSaved(data []byte) (saved, error) {
	var rest saved
	if len(data) > SavedSize {
		return rest, fmt.Errorf("%d bytes are too many", len(data))
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return rest, err
	}
	if head.Version != savedVersion {
		return rest, fmt.Errorf("is of version %d, not %d", head.Version, savedVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&rest); err != nil {
		return rest, err
	}
	return rest, rest.check()
}

// check says where what was saved contradicts itself.
func (s saved) check() error {
	switch {
	case s.EventID < 0 || s.Stamp < 0 || s.Stamp > maxStamp*2:
		return errors.New("its numbers are out of range")
	case s.Highest < NoCluster || s.Highest > MaxCluster:
		return fmt.Errorf("highest id %d", s.Highest)
	}
	masters := map[int]string{} // of each cluster, "" while none is found
	for _, c := range s.Clusters {
		if err := c.check(); err != nil {
			return fmt.Errorf("cluster %d: %w", c.ID, err)
		}
		if _, twice := masters[c.ID]; twice {
			return fmt.Errorf("cluster %d stands twice", c.ID)
		}
		masters[c.ID] = ""
	}
	seen := map[Node]bool{}
	for _, n := range s.Nodes {
		if seen[n.node()] {
			return fmt.Errorf("node %s stands twice", n.node())
		}
		seen[n.node()] = true
		if err := n.check(masters); err != nil {
			return fmt.Errorf("node %s: %w", n.node(), err)
		}
	}
	for _, c := range s.Clusters {
		if m := masters[c.ID]; m != "" && m != c.Last {
			return fmt.Errorf("cluster %d: the last master is %s, the master %s", c.ID, c.Last, m)
		}
	}
	return nil
}

func (c savedCluster) check() error {
	switch {
	case c.ID < 0 || c.ID > MaxCluster:
		return errors.New("this is no id")
	case c.Last == "" || !slices.Contains(c.Line, c.Last):
		return errors.New("the last master is not of its line")
	case c.SplitFrom < NoCluster || c.SplitFrom > MaxCluster || c.SplitFrom == c.ID:
		return fmt.Errorf("split from %d", c.SplitFrom)
	case c.Ref.Stamp < 0 || c.Ref.Stamp > maxStamp*2 || c.First < 0 || c.Founded > math.MaxInt64:
		return errors.New("its numbers are out of range")
	case len(c.Line) > lineKept+1 || len(c.Foreign) > foreignKept:
		return errors.New("its lists are too long")
	}
	return nil
}

func (n savedNode) check(masters map[int]string) error {
	if n.SplitFrom < NoCluster || n.SplitFrom > MaxCluster {
		return fmt.Errorf("split from %d", n.SplitFrom)
	}
	master, exists := masters[n.Cluster]
	switch n.Place {
	case Clusterless:
		if n.Cluster != NoCluster {
			return errors.New("is clusterless in a cluster")
		}
	case Master, Slave, Lost:
		if !exists {
			return fmt.Errorf("is in cluster %d, which is not there", n.Cluster)
		}
	default:
		return fmt.Errorf("is in no place %q", n.Place)
	}
	if n.Place == Master {
		if master != "" {
			return fmt.Errorf("is a second master beside %s", master)
		}
		masters[n.Cluster] = n.node().String()
	}
	return nil
}
