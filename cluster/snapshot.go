package cluster

import "time"

// Snapshot is a copy of a State for everybody who does not own it. Its JSON is
// that of the documented status object and a few keys more.
type Snapshot struct {
	Round       uint64            `json:"-"` // its number, from 1
	Took        time.Duration     `json:"-"` // from the beginning of the look to the last beat's outcome
	At          time.Time         `json:"-"` // when the round ended
	Starting    bool              `json:"-"`
	Clusters    []Cluster         `json:"clusters"`    // by id
	Clusterless []Entry           `json:"clusterless"` // in configured order
	Nodes       map[string]Detail `json:"nodes"`       // by host:port
	Warnings    []Warning         `json:"warnings"`
}

// Cluster is one cluster as shown. Nodes stand in configured order.
type Cluster struct {
	ID        int       `json:"cluster_id"`
	HasMaster bool      `json:"has_master"`
	Master    *Entry    `json:"master"`
	Slaves    []Entry   `json:"slaves"`
	Lost      []Entry   `json:"lost"`
	Name      string    `json:"cluster_name,omitempty"` // label, never part of the contract
	Diagnosis Diagnosis `json:"diagnosis"`
	// Evidence is what the diagnosis goes by while there is no master or it is
	// suspect, nil else.
	Evidence *Evidence `json:"evidence"`
	// SplitFrom is the id of the cluster that this one was split from, as long as
	// that exists and has the same system identifier: the data here is stale or
	// strange. nil else.
	SplitFrom *int `json:"split_from"`
	// Starting says that plusmoin_up was not told of it yet.
	Starting bool `json:"starting,omitempty"`
}

// Evidence is what the witnesses of a master show: the members that streamed from
// it when both were last in order, by host:port and in configured order.
type Evidence struct {
	Hears  []string `json:"hears"`  // had news from it since it failed
	Cut    []string `json:"cut"`    // answer, and have no receiver from it
	Silent []string `json:"silent"` // the others
	// LastWord is why the master fails: the last that its server or the network
	// said. nil if it is not known.
	LastWord *string `json:"last_word"`
}

// Entry is a node as the original plusmoin showed it.
type Entry struct {
	Host      string `json:"host"`
	Port      int    `json:"port"`
	ClusterID int    `json:"cluster_id"`
	IsSlave   bool   `json:"is_slave"`
	// MasterName is what the node's row says while it is a slave, "" for a
	// master.
	MasterName string `json:"master_name"`
}

// Place is where a node stands.
type Place string

// The places. A node is in exactly one.
const (
	Clusterless Place = "clusterless"
	Master      Place = "master"
	Slave       Place = "slave"
	Lost        Place = "lost"
)

// Detail is all that is known of a node. A null was not to be known.
type Detail struct {
	State            Place     `json:"state"`
	Since            time.Time `json:"since"` // when it came to this place
	Suspect          bool      `json:"suspect"`
	Lag              *float64  `json:"lag"`       // seconds
	Timestamp        *float64  `json:"timestamp"` // of its row, seconds since 1970
	Reason           *Reason   `json:"reason"`
	Error            *string   `json:"error"`
	LatencyMS        *float64  `json:"latency_ms"`
	Timeline         *uint32   `json:"timeline"`
	LSN              *string   `json:"lsn"`
	SystemIdentifier *string   `json:"system_identifier"` // a string: it does not fit a JSON reader's number
	ServerVersion    *int      `json:"server_version"`    // as server_version_num
	Upstream         *string   `json:"upstream"`
	ReplayPaused     Flag      `json:"replay_paused"`
	SyncBlocked      Flag      `json:"sync_blocked"`
	LagBytes         *int64    `json:"lag_bytes"` // written by the master, not yet replayed
	ClusterName      string    `json:"cluster_name,omitempty"`
}

// Diagnosis is the one word for the health of a cluster.
type Diagnosis string

// The diagnoses of a cluster that has no master, or whose master is suspect. A
// failover is to act on DeadMaster and on no other.
const (
	UnreachableMaster   Diagnosis = "unreachable_master" // a witness hears from it
	DeadMaster          Diagnosis = "dead_master"        // every witness that answers is cut off from it, or there is none
	UnconfirmedMaster   Diagnosis = "unconfirmed_master" // a witness is silent: it may be idle, frozen or dead
	UnwritableMaster    Diagnosis = "unwritable_master"  // answers, but does not take its beat
	RefusingMaster      Diagnosis = "refusing_master"    // its server answers, but does not let plusmoin in
	DeadMasterAndSlaves Diagnosis = "dead_master_and_slaves"
	NoMaster            Diagnosis = "no_master" // its last master is no longer configured
)

// The diagnoses of a cluster with a master.
const (
	OK             Diagnosis = "ok"
	NoSlavesInSync Diagnosis = "no_slaves_in_sync"
	SplitBrain     Diagnosis = "split_brain" // another cluster has a master of the same system identifier
	SplitOff       Diagnosis = "split_off"   // was split from such a cluster: its data is stale or strange
)

// MonitorIsolated is said above all others: all nodes stopped answering at once,
// so the fault is probably here.
const MonitorIsolated Diagnosis = "monitor_isolated"

// Warning is something an operator should mend though no node is down.
type Warning struct {
	Kind    WarningKind `json:"kind"`
	Cluster int         `json:"cluster_id"` // NoCluster if it is about none
	Node    string      `json:"node"`       // host:port
	Text    string      `json:"text"`
}

// WarningKind is the name of a warning.
type WarningKind string

// The warnings.
const (
	SecondWriter WarningKind = "second_writer" // something else writes the heartbeat row of a master
	ListedTwice  WarningKind = "listed_twice"  // one server is configured under two names
	FarAhead     WarningKind = "far_ahead"     // a heartbeat row is more than a day ahead of the clock

	// These are not the core's: whoever runs triggers adds them.
	TriggerFailed  WarningKind = "trigger_failed"  // exit code, signal, timeout, or not started
	TriggerWaiting WarningKind = "trigger_waiting" // for longer than a heartbeat for another one
)
