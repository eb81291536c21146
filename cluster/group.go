package cluster

import (
	"slices"
	"time"
)

// group is what is remembered of one cluster.
type group struct {
	id      int
	master  int    // index, none without one
	last    string // name of the master or, without one, of the last
	line    []string
	founded uint64 // order of founding
	changed time.Duration
	system  uint64 // system identifier of its master, 0 if not known
	rebuilt bool   // made at start from the rows of slaves, and no master since
	ref     Row    // the reference
	memory  memory
	reach   time.Duration // the largest max_sync_delay of its members
	foreign []foreign
	verdict Diagnosis

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

func (g *group) hasInLine(name string) bool { return slices.Contains(g.line, name) }

func (g *group) enthrone(n int, name string) {
	g.master, g.last, g.rebuilt = n, name, false
	if !g.hasInLine(name) {
		g.line = append(slices.Clip(g.line), name)
	}
}

// tick takes in that the master's beat was confirmed at end in a round whose
// look began at look.
func (g *group) tick(master string, round uint64, look, end time.Duration) {
	if g.clockRound == round {
		return // a candidate beside the master
	}
	if g.clockRound+1 == round && g.clockMaster == master {
		g.reading = g.clock + max(0, look-g.clockAt)
		g.clock += max(0, end-g.clockAt)
	}
	g.clockAt, g.clockRound, g.clockMaster = end, round, master
}

// like says that the row is like a foreign one seen on the master.
func (g *group) like(row *Row) bool {
	return slices.ContainsFunc(g.foreign, func(f foreign) bool {
		return f.cluster == row.Cluster && f.master == row.Master
	})
}

// note remembers a foreign row.
func (g *group) note(row *Row, now time.Duration) {
	kept := slices.DeleteFunc(slices.Clone(g.foreign), func(f foreign) bool {
		return f.cluster == row.Cluster && f.master == row.Master
	})
	kept = append(kept, foreign{row.Cluster, row.Master, now})
	g.foreign = kept[max(0, len(kept)-foreignKept):]
}

// isReference says that the row is the reference, to the letter.
func (g *group) isReference(row *Row) bool {
	return row.Cluster == g.ref.Cluster && row.Master == g.ref.Master && row.Stamp == g.ref.Stamp
}
