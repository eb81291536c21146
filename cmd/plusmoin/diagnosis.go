package main

import (
	"fmt"

	"plusmoin/cluster"
)

// diagnoses returns all words that a cluster can have, those without a master
// first.
func diagnoses() []cluster.Diagnosis {
	return []cluster.Diagnosis{
		cluster.DeadMaster, cluster.UnreachableMaster, cluster.UnconfirmedMaster, cluster.UnwritableMaster, cluster.RefusingMaster,
		cluster.DeadMasterAndSlaves, cluster.NoMaster, cluster.MonitorIsolated,
		cluster.OK, cluster.SplitOff, cluster.SplitBrain, cluster.NoSlavesInSync,
	}
}

// meaning says in a sentence what a diagnosis is about, "" if it is not known.
func meaning(d cluster.Diagnosis) string {
	switch d {
	case cluster.OK:
		return "all is well"
	case cluster.DeadMaster:
		return "the master does not answer and no slave hears from it; promote on this word and on no other"
	case cluster.UnreachableMaster:
		return "the master does not answer here, but a slave hears from it: it lives, do not promote"
	case cluster.UnconfirmedMaster:
		return "no slave hears from the master, but one is silent: do not promote yet, this becomes another word within wal_receiver_timeout"
	case cluster.UnwritableMaster:
		return "the master answers, but cannot be written to: do not promote, see its reason"
	case cluster.RefusingMaster:
		return "the server of the master lives but does not let plusmoin in: do not promote, see its reason"
	case cluster.DeadMasterAndSlaves:
		return "neither the master nor any slave answers: perhaps the network; do not promote"
	case cluster.NoMaster:
		return "the last master is no longer configured: do not promote"
	case cluster.MonitorIsolated:
		return "all nodes stopped answering at once: the fault is probably here; do not promote"
	case cluster.SplitOff:
		return "it was split from a cluster of the same system: its data is stale or strange, send nobody there"
	case cluster.SplitBrain:
		return "another cluster has a master of the same system: both take writes"
	case cluster.NoSlavesInSync:
		return "it has a master, but no slave that could take over"
	}
	return ""
}

// staleCopy is said of a cluster that left another one and whose master is in
// trouble: there dead_master is no reason to promote.
const staleCopy = "its data is stale or strange: promote nothing here"

// verdict returns how bad the diagnosis of a cluster is, and what to say of it.
func (r reading) verdict(c cluster.Cluster) (level int, text string) {
	switch {
	case !c.HasMaster && c.Diagnosis == "": // the Python plusmoin
		return critical, title(c) + " has no master"
	case !c.HasMaster:
		return critical, fmt.Sprintf("%s%s has no master (%s)", title(c), r.splitOff(c, ", split off from cluster %d,"), c.Diagnosis)
	case c.Diagnosis == cluster.OK || c.Diagnosis == "":
		return healthy, ""
	case c.Diagnosis == cluster.SplitBrain:
		return critical, fmt.Sprintf("%s: %s", title(c), c.Diagnosis)
	case c.Diagnosis == cluster.SplitOff:
		return degraded, fmt.Sprintf("%s: %s%s", title(c), c.Diagnosis, r.splitOff(c, " from cluster %d"))
	}
	return degraded, fmt.Sprintf("%s%s: %s", title(c), r.splitOff(c, ", split off from cluster %d"), c.Diagnosis)
}

// splitOff names in a phrase the cluster that one was split from, "" if none.
func (r reading) splitOff(c cluster.Cluster, phrase string) string {
	if from := r.words[c.ID].SplitFrom; from != nil {
		return fmt.Sprintf(phrase, *from)
	}
	return ""
}
