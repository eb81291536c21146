package main

import (
	"fmt"

	"plusmoin/cluster"
)

// The words of the status file that the manual and the table explain.
const (
	unconfirmedMaster cluster.Diagnosis = "unconfirmed_master"
	refusingMaster    cluster.Diagnosis = "refusing_master"
	noMaster          cluster.Diagnosis = "no_master"
	splitOff          cluster.Diagnosis = "split_off"
)

// diagnoses returns all words that a cluster can have, those without a master
// first.
func diagnoses() []cluster.Diagnosis {
	return []cluster.Diagnosis{
		cluster.DeadMaster, cluster.UnreachableMaster, unconfirmedMaster, cluster.UnwritableMaster, refusingMaster,
		cluster.DeadMasterAndSlaves, noMaster, cluster.MonitorIsolated,
		cluster.OK, splitOff, cluster.SplitBrain, cluster.NoSlavesInSync,
	}
}

// meaning says in a sentence what a diagnosis is about, "" if it is not known.
func meaning(d cluster.Diagnosis) string {
	switch d {
	case cluster.OK:
		return "all is well"
	case cluster.DeadMaster:
		return "it does not answer and no slave hears from it; promote on this word and on no other"
	case cluster.UnreachableMaster:
		return "it does not answer here, but a slave hears from it: it lives, do not promote"
	case unconfirmedMaster:
		return "no slave hears from it, but one is silent: do not promote yet, this becomes another word within wal_receiver_timeout"
	case cluster.UnwritableMaster:
		return "it answers, but cannot be written to: do not promote, see its reason"
	case refusingMaster:
		return "its server lives but does not let plusmoin in: do not promote, see its reason"
	case cluster.DeadMasterAndSlaves:
		return "neither it nor any slave answers: perhaps the network; do not promote"
	case noMaster:
		return "its last master is no longer configured: do not promote"
	case cluster.MonitorIsolated:
		return "all nodes stopped answering at once: the fault is probably here; do not promote"
	case splitOff:
		return "it was split from a cluster of the same system: its data is stale or strange, send nobody there"
	case cluster.SplitBrain:
		return "another cluster has a master of the same system: both take writes"
	case cluster.NoSlavesInSync:
		return "it has a master, but no slave that could take over"
	}
	return ""
}

// verdict returns how bad the diagnosis of a cluster is, and what to say of it.
func (r reading) verdict(c cluster.Cluster) (level int, text string) {
	switch {
	case !c.HasMaster && c.Diagnosis == "": // the Python plusmoin
		return critical, title(c) + " has no master"
	case !c.HasMaster:
		return critical, fmt.Sprintf("%s has no master (%s)", title(c), c.Diagnosis)
	case c.Diagnosis == cluster.OK || c.Diagnosis == "":
		return healthy, ""
	case c.Diagnosis == cluster.SplitBrain:
		return critical, fmt.Sprintf("%s: %s", title(c), c.Diagnosis)
	}
	if from := r.words[c.ID].SplitFrom; from != nil {
		return degraded, fmt.Sprintf("%s: %s from cluster %d", title(c), c.Diagnosis, *from)
	}
	return degraded, fmt.Sprintf("%s: %s", title(c), c.Diagnosis)
}
