package cluster

import (
	"slices"
	"time"
)

// clusterState is what is remembered of one cluster.
type clusterState struct {
	id        int
	master    int    // index, none without one
	last      string // name of the master or, without one, of the last
	line      []string
	label     string // of the last master that had one
	founded   uint64 // order of founding
	changed   time.Duration
	opened    bool     // its plusmoin_up was told, or it was founded later
	splitFrom int      // the cluster that its first master left, NoCluster if not known
	system    uint64   // system identifier of its master, 0 if not known
	server    identity // of its master when that took its last beat
	timeline  uint32   // likewise, 0 if not known
	dissolved bool     // in this round, as the double of another
	rebuilt   bool     // made at start from the rows of slaves, and no master since
	vacant    *Entry   // a reload took its master out; for one round its place is kept
	ref       Row      // the reference
	memory    memory
	reach     time.Duration // the largest max_sync_delay of its members
	foreign   []foreign
	verdict   verdict

	// The clock by which lag is counted. It runs between two confirmed beats
	// of one master in consecutive rounds and stands still otherwise.
	clock       time.Duration
	clockAt     time.Duration // when the last beat was confirmed
	clockRound  uint64
	clockMaster string
	reading     time.Duration // of this round's look
}

// foreign is a row found on a master that this monitor did not write.
type foreign struct {
	cluster int
	master  string
	at      time.Duration
}

// The bounds on foreign rows: how many are remembered, and for how long after
// one was seen it is warned of.
const (
	foreignKept  = 8
	foreignShown = 10 * time.Minute
)

// newClusterState returns a cluster that has no master yet.
func newClusterState(id int) clusterState {
	return clusterState{id: id, master: none, splitFrom: NoCluster}
}

func (c *clusterState) hasInLine(name string) bool { return slices.Contains(c.line, name) }

// addToLine lets a name belong to the line, which copies of c do not notice.
func (c *clusterState) addToLine(name string) {
	if !c.hasInLine(name) {
		c.line = append(slices.Clip(c.line), name)
	}
}

// setMaster makes a node the master.
func (c *clusterState) setMaster(i int, n *nodeState) {
	c.master, c.last, c.rebuilt, c.vacant = i, n.name, false, nil
	c.addToLine(n.name)
	if n.ClusterName != "" {
		c.label = n.ClusterName
	}
	c.noteServer(n)
}

// noteServer notes which server took the cluster's beat.
func (c *clusterState) noteServer(n *nodeState) {
	f := n.sight.Facts
	if f.SystemID != 0 {
		c.system = f.SystemID
	}
	c.server = identityOf(f)
	if f.Timeline != 0 {
		c.timeline = f.Timeline
	}
}

// tick takes in that the master's beat was confirmed at end in a round whose
// look began at look.
func (c *clusterState) tick(master string, round uint64, look, end time.Duration) {
	if c.clockRound == round {
		return // a candidate beside the master
	}
	if c.clockRound+1 == round && c.clockMaster == master {
		c.reading = c.clock + max(0, look-c.clockAt)
		c.clock += max(0, end-c.clockAt)
	}
	c.clockAt, c.clockRound, c.clockMaster = end, round, master
}

// like reports whether the row is like a foreign one seen on the master.
func (c *clusterState) like(row *Row) bool {
	return slices.ContainsFunc(c.foreign, func(f foreign) bool {
		return f.cluster == row.Cluster && f.master == row.Master
	})
}

// note remembers a foreign row.
func (c *clusterState) note(row *Row, now time.Duration) {
	kept := slices.DeleteFunc(slices.Clone(c.foreign), func(f foreign) bool {
		return f.cluster == row.Cluster && f.master == row.Master
	})
	kept = append(kept, foreign{row.Cluster, row.Master, now})
	c.foreign = kept[max(0, len(kept)-foreignKept):]
}

// isReference reports whether the row is the reference, to the letter, or as far
// as its whole seconds tell.
func (c *clusterState) isReference(row *Row) bool {
	same := row.Stamp == c.ref.Stamp || row.Coarse && row.Stamp.Seconds() == c.ref.Stamp.Seconds()
	return row.Cluster == c.ref.Cluster && row.Master == c.ref.Master && same
}

// otherLabel reports whether a node is labelled as one of another cluster. Where
// one of the two has no label nothing is known.
func (c *clusterState) otherLabel(label string) bool {
	return label != "" && c.label != "" && label != c.label
}
