package cluster

import "time"

// Config is what the configuration says of judging.
type Config struct {
	// FailInterval is how long a node must keep failing before it is declared
	// down, and must have answered before it can come up. 0: at once.
	FailInterval time.Duration
	// MaxSyncDelay bounds how long the start waits for slaves to show that
	// they follow, and how old a master's row may be for it to keep its id.
	MaxSyncDelay time.Duration
	Nodes        []NodeConfig // each Node once, in configured order
}

// NodeConfig is a node with the limits that hold for it.
type NodeConfig struct {
	Node        Node
	ClusterName string // label shown beside the cluster's id, may be empty
	// MaxSyncDelay is the lag above which a slave goes down, RecoverSyncDelay
	// the lag it must not exceed to come up; RecoverSyncDelay is the smaller.
	MaxSyncDelay     time.Duration
	RecoverSyncDelay time.Duration
	// OwnLimit says that MaxSyncDelay was set for this node by itself.
	OwnLimit bool
}

// Moment is one point in time by two clocks.
type Moment struct {
	// Elapsed is the monotonic time since the State was made. Only it is
	// used to decide.
	Elapsed time.Duration
	// Wall is shown to people and may be stepped.
	Wall time.Time
}
