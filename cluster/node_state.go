package cluster

import (
	"math"
	"time"
)

// none is the index of no node.
const none = -1

// never is a time before all rounds.
const never = time.Duration(math.MinInt64 / 2)

// nodeState is what is remembered of one configured node.
type nodeState struct {
	NodeConfig
	name    string
	place   Place
	cluster int // id of its cluster, NoCluster if it is clusterless
	since   time.Time

	sight    Sighting // of this round, its row in canonical form
	origin   origin   // of the row in sight
	wasFine  bool     // stood in good order when this round began
	wasKnown bool     // had answered before this round
	bad      bool     // fails this round
	lag      time.Duration
	lagKnown bool

	known bool // has answered in this run; what follows is its last answer
	slave bool
	row   *Row
	facts Facts

	failing   bool
	failedAt  time.Duration // look of the first round of this streak of failures
	failsFrom time.Duration // from when the streak counts, see streak
	goodAt    time.Duration // first good round after the last failure
	trouble   trouble       // why, or what came of its last beat

	tries     int     // beats as a candidate that were not confirmed
	refusal   trouble // what came of the last of them
	reserved  int     // id it will found a cluster with, NoCluster if none
	attempts  memory  // beats sent to found that cluster
	splitFrom int     // cluster that it left as a master and has founded none since, NoCluster if none
	strange   bool    // its row was another monitor's in the last round
	alias     int     // index of the node it is another name of
	ahead     time.Duration
	witness   witness
}

type trouble struct {
	reason Reason
	text   string
}

// origin says whose a row is.
type origin struct {
	ours    bool // a beat of this run
	cluster int  // of that cluster
}

// identity tells servers apart whatever they are called. The zero identity is
// not known.
type identity struct {
	system  uint64
	started int64
	port    int
}

func newNodeState(c NodeConfig, wall time.Time) nodeState {
	return nodeState{
		NodeConfig: c, name: c.Node.String(), place: Clusterless, cluster: NoCluster, since: wall,
		goodAt: never, ahead: never, reserved: NoCluster, splitFrom: NoCluster, alias: none,
	}
}

func (n *nodeState) answers() bool       { return n.sight.Outcome == Answered }
func (n *nodeState) answersMaster() bool { return n.answers() && !n.sight.Slave }
func (n *nodeState) answersSlave() bool  { return n.answers() && n.sight.Slave }
func (n *nodeState) member() bool        { return n.place != Clusterless }

// suspect is said of a master or slave that fails but was not yet declared
// down.
func (n *nodeState) suspect() bool {
	return n.failing && (n.place == Master || n.place == Slave)
}

// failedFor reports whether the node, failing in this round, has been for d.
func (n *nodeState) failedFor(d, now time.Duration) bool {
	if !n.bad {
		return false
	}
	return d == 0 || n.failing && now-n.failsFrom >= d
}

// streak takes in whether the node failed in the round between two times. A
// failed look counts from its beginning. A beat that failed after a good look
// counts from its end: another node may have kept it waiting.
func (n *nodeState) streak(look, end time.Duration) {
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

// identity returns what is known of the server behind the node, by its last
// facts.
func (n *nodeState) identity() identity { return identityOf(n.facts) }

// identityOf returns the zero identity unless all that tells a server apart is
// known.
func identityOf(f Facts) identity {
	if f.SystemID == 0 || f.Started == 0 || f.ServerPort == 0 {
		return identity{}
	}
	return identity{f.SystemID, f.Started, f.ServerPort}
}

// showsBeatOf reports whether the node's row is a beat of this run by a cluster.
func (n *nodeState) showsBeatOf(c *clusterState) bool {
	return n.origin.ours && n.origin.cluster == c.id
}

// showsBeatOfAnother reports whether the row is one by another cluster.
func (n *nodeState) showsBeatOfAnother(c *clusterState) bool {
	return n.origin.ours && n.origin.cluster != c.id
}

// otherSystem reports whether the node shows that it is of another system than a
// cluster.
func (n *nodeState) otherSystem(c *clusterState) bool {
	id := n.sight.Facts.SystemID
	return id != 0 && c.system != 0 && id != c.system
}

// sameServer reports whether the node shows that it is the running server that a
// cluster's master was when its beat was last confirmed.
func (n *nodeState) sameServer(c *clusterState) bool {
	id := identityOf(n.sight.Facts)
	return id != identity{} && id == c.server
}
