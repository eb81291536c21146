package cluster

import (
	"math"
	"time"
)

// none is the index of no node.
const none = -1

// standing is what is remembered of one configured node.
type standing struct {
	NodeConfig
	name  string
	place Place
	group int // id of its cluster, NoCluster if it is clusterless
	since time.Time

	sight   Sighting // of this round, its row in canonical form
	origin  origin   // of the row in sight
	heldUp  bool     // stood in good order when this round began
	bad     bool     // fails this round
	lag     time.Duration
	lagging bool // lag is known

	known bool // has answered in this run; what follows is its last answer
	slave bool
	row   *Row
	facts Facts

	failing   bool
	failedAt  time.Duration // look of the first round of this streak of failures
	failsFrom time.Duration // from when the streak counts, see streak
	goodAt    time.Duration // first good round after the last failure
	trouble   trouble       // why, or what came of its last beat

	tries    int      // beats as a candidate that were not confirmed
	reserved int      // id it will found a cluster with, NoCluster if none
	attempts memory   // beats sent to found that cluster
	split    bool     // left a cluster as a master and has founded none since
	strange  bool     // its row was another monitor's in the last round
	alias    int      // index of the node it is another name of
	heard    Receiver // its receiver in the last round in which its master answered, or first failed
}

type trouble struct {
	reason Reason
	text   string
}

// origin says whose a row is.
type origin struct {
	ours  bool // a beat of this run
	group int  // of that cluster
}

// identity tells servers apart whatever they are called.
type identity struct {
	system  uint64
	started int64
	port    int
}

func newStanding(c NodeConfig, wall time.Time) standing {
	return standing{
		NodeConfig: c, name: c.Node.String(), place: Clusterless, group: NoCluster, since: wall,
		goodAt: math.MinInt64 / 2, reserved: NoCluster, alias: none,
	}
}

func (n *standing) answers() bool       { return n.sight.Outcome == Answered }
func (n *standing) answersMaster() bool { return n.answers() && !n.sight.Slave }
func (n *standing) answersSlave() bool  { return n.answers() && n.sight.Slave }
func (n *standing) member() bool        { return n.place != Clusterless }

// suspect is said of a master or slave that fails but was not yet declared
// down.
func (n *standing) suspect() bool {
	return n.failing && (n.place == Master || n.place == Slave)
}

// failedFor says that the node, failing in this round, has been for d.
func (n *standing) failedFor(d, now time.Duration) bool {
	if !n.bad {
		return false
	}
	return d == 0 || n.failing && now-n.failsFrom >= d
}

// streak takes in whether the node failed in the round between two times. A
// failed look counts from its beginning. A beat that failed after a good look
// counts from its end: another node may have kept it waiting.
func (n *standing) streak(look, end time.Duration) {
	switch {
	case n.bad && !n.failing:
		n.failing, n.failedAt, n.failsFrom = true, look, look
		if n.answers() {
			n.failsFrom = end
		}
	case !n.bad && n.failing:
		n.failing, n.goodAt = false, look
	}
}

// identity returns false unless all that tells a server apart is known.
func (n *standing) identity() (identity, bool) {
	id := identity{n.facts.SystemID, n.facts.Started, n.facts.ServerPort}
	return id, id.system != 0 && id.started != 0 && id.port != 0
}
