package main

import (
	"fmt"
	"strings"
	"time"

	"plusmoin/cluster"
)

// why says what is wrong with a node of a cluster, or what it waits for.
func why(r reading, c cluster.Cluster, e cluster.Entry) string {
	d := r.Document.Nodes[address(e)]
	var parts []string
	if d.Reason != nil {
		parts = append(parts, string(*d.Reason))
	}
	switch {
	case d.Error != nil:
		parts = append(parts, *d.Error)
	case d.Reason != nil && *d.Reason == cluster.ReasonLag:
		parts = append(parts, lagging(r, e, d))
	case d.Reason != nil && *d.Reason == cluster.ReasonUnproven:
		parts = append(parts, unproven(c, e, d))
	case d.Reason != nil && *d.Reason == cluster.ReasonAlias:
		parts = append(parts, "it is a master that is known by another name already: take one of the two out of nodes")
	case d.Reason != nil && *d.Reason == cluster.ReasonOtherSystem:
		parts = append(parts, "its data is not of this cluster's system: it was initialised anew, or is of another cluster")
	}
	text := strings.Join(parts, ": ")
	if d.State == cluster.Master && d.SyncBlocked == cluster.Yes {
		text = strings.TrimPrefix(text+"; "+syncBlocked, "; ")
	}
	return text
}

// lagging says how far behind a lost slave may be to come up.
func lagging(r reading, e cluster.Entry, d cluster.Detail) string {
	limit := "recover_sync_delay"
	if r.cfg != nil {
		for _, n := range r.cfg.Nodes {
			if n.Node.String() == address(e) {
				limit = fmt.Sprintf("%gs (recover_sync_delay)", n.RecoverSyncDelay.Round(time.Millisecond).Seconds())
			}
		}
	}
	return "it is too far behind and comes up at a lag of " + limit + " or less" + paused(d)
}

// unproven says what a lost node that answers has not shown yet.
func unproven(c cluster.Cluster, e cluster.Entry, d cluster.Detail) string {
	master := "the last master"
	if c.Master != nil {
		master = address(*c.Master)
	}
	wanted := "a new beat of " + master
	switch {
	case !e.IsSlave:
		return "it answers as a master, and has not shown that it continues this cluster"
	case d.Timestamp == nil:
		return "it has no heartbeat row; waits until it has replayed " + wanted + paused(d)
	case e.MasterName != "" && c.Master != nil && e.MasterName != master:
		return "its heartbeat row is one of " + e.MasterName + "; waits until it has replayed " + wanted + paused(d)
	}
	return "it answers, and waits until it has replayed " + wanted + " and answered for fail_interval" + paused(d)
}

func paused(d cluster.Detail) string {
	if d.ReplayPaused == cluster.Yes {
		return "; its replay is paused"
	}
	return ""
}
