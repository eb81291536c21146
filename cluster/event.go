package cluster

import "time"

// Kind is the name of an event, which is also that of its trigger.
type Kind string

// The kinds of events.
const (
	PlusmoinUp        Kind = "plusmoin_up"
	PlusmoinHeartbeat Kind = "plusmoin_heartbeat"
	NodeLeft          Kind = "node_left"
	ClusterUp         Kind = "cluster_up"
	ClusterSplit      Kind = "cluster_split"
	NodeJoined        Kind = "node_joined"
	MasterDown        Kind = "master_down"
	MasterUp          Kind = "master_up"
	SlaveDown         Kind = "slave_down"
	SlaveUp           Kind = "slave_up"
	ClusterGone       Kind = "cluster_gone"
)

// Kinds returns all kinds in the order in which they are told of one cluster.
func Kinds() []Kind {
	return []Kind{
		NodeLeft, PlusmoinUp, ClusterUp, ClusterSplit, NodeJoined, MasterDown,
		MasterUp, SlaveDown, SlaveUp, ClusterGone, PlusmoinHeartbeat,
	}
}

// Event is one change of a cluster.
type Event struct {
	// ID is unique and grows, also across restarts: it is a stamp that no
	// row was found to exceed, made unique.
	ID      int64
	Kind    Kind
	Cluster int
	Time    time.Time
	Node    *Entry // the node it is about, as it is after the round; nil if it is about the cluster
	// OldMaster is set on master_up and master_down: the master the cluster
	// had before the round or, without one, its last.
	OldMaster *Entry
}
