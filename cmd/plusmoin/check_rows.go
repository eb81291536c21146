package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"plusmoin/cluster"
	"plusmoin/postgres"
	"plusmoin/status"
)

// freshRow is up to which age a row counts as written by a monitor that runs.
const freshRow = 10 * time.Minute

// rowFindings tells what the heartbeat row says and, on a master, who seems to
// write it.
func (c check) rowFindings(seen postgres.Inspection) []postgres.Finding {
	if len(seen.Rows) == 0 {
		return c.sessionFindings(seen)
	}
	row := seen.Rows[len(seen.Rows)-1]
	if row.Cluster == cluster.NoCluster {
		return append([]postgres.Finding{fine("row: of no cluster yet")}, c.sessionFindings(seen)...)
	}
	found := []postgres.Finding{fine("row: cluster %d, master %s, %s", row.Cluster, row.Master, c.age(row))}
	if seen.Slave {
		return found
	}
	writer := c.secondWriter(seen)
	if writer == nil {
		return append(found, c.sessionFindings(seen)...)
	}
	return append(found, writer...)
}

// age says when a row was written.
func (c check) age(row cluster.Row) string {
	age := c.ageOf(row)
	switch {
	case age < -5*time.Second:
		return "stamped " + roughly(-age) + " later than this machine's clock"
	case age < time.Second: // a stamp can be a little ahead of the clock
		return "written just now"
	}
	return "written " + roughly(age) + " ago"
}

func (c check) ageOf(row cluster.Row) time.Duration {
	return time.Duration(c.now.UnixMicro()-int64(row.Stamp)) * time.Microsecond
}

// roughly leaves out of a duration what nobody wants to read.
func roughly(d time.Duration) string {
	switch {
	case d < 10*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 10*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// secondWriter tells that something else than plusmoin under this configuration
// writes the row of a master, or did; nil if nothing says so.
func (c check) secondWriter(seen postgres.Inspection) []postgres.Finding {
	last := len(seen.Rows) - 1
	for i, row := range seen.Rows {
		if row.Cluster == cluster.NoCluster || c.ours(row) {
			continue
		}
		who := fmt.Sprintf("cluster %d, master %s", row.Cluster, row.Master)
		switch {
		case last > 0 && (i > 0 || c.running != nil):
			return []postgres.Finding{problem("second_writer: another monitor writes the row while plusmoin check looks, as %s%s. "+
				"Stop one of the two, or run check where plusmoin runs if it is that", who, c.fromWhere(seen))}
		case !c.configured(row.Master) && c.ageOf(row) < freshRow:
			return []postgres.Finding{problem("second_writer: the row was written by another monitor, as %s, "+
				"which is no node of the configuration%s", who, c.fromWhere(seen))}
		case !c.configured(row.Master):
			return []postgres.Finding{note("the row names %s, which is no node of the configuration: "+
				"left by another monitor, or by this one under another configuration", row.Master)}
		}
	}
	return c.warned(seen)
}

// warned repeats what the running plusmoin says of a second writer.
func (c check) warned(seen postgres.Inspection) []postgres.Finding {
	if c.running == nil {
		return nil
	}
	for _, w := range c.running.Warnings {
		if w.Kind == cluster.SecondWriter && w.Node == seen.Node.String() {
			return []postgres.Finding{problem("second_writer: plusmoin, which is running, says: %s%s", w.Text, c.fromWhere(seen))}
		}
	}
	return nil
}

func (c check) configured(name string) bool {
	return slices.ContainsFunc(c.cfg.Nodes, func(n cluster.NodeConfig) bool { return n.Node.String() == name })
}

// ours says that plusmoin, which is running, writes such rows.
func (c check) ours(row cluster.Row) bool {
	if c.running == nil {
		return false
	}
	if c.running.State == status.Starting {
		return c.configured(row.Master)
	}
	return slices.ContainsFunc(c.running.Clusters, func(g cluster.Cluster) bool {
		return g.ID == row.Cluster && g.Master != nil && cluster.Node{Host: g.Master.Host, Port: g.Master.Port}.String() == row.Master
	})
}

// sessionFindings tells of other sessions that can be those of a monitor, which
// a row written once a minute does not show.
func (c check) sessionFindings(seen postgres.Inspection) []postgres.Finding {
	from := c.monitors(seen)
	if seen.Slave || len(from) == 0 {
		return nil
	}
	return []postgres.Finding{note("the role is logged on here from %s as well: another monitor, "+
		"or plusmoin on another machine? Two of them confuse each other", strings.Join(from, ", "))}
}

func (c check) fromWhere(seen postgres.Inspection) string {
	from := c.monitors(seen)
	if len(from) == 0 {
		return ""
	}
	return "; the role is logged on from " + strings.Join(from, ", ")
}

// monitors returns where other sessions come from that can be those of a
// monitor. This one's names itself; that of the Python plusmoin does not.
func (c check) monitors(seen postgres.Inspection) []string {
	own := map[uint32]bool{}
	for _, other := range c.seen {
		if sameServer(other.Facts, seen.Facts) {
			own[other.PID] = true
		}
	}
	own[seen.PID] = true
	var from []string
	for _, s := range seen.Sessions {
		place := s.Client
		if place == "" {
			place = "its own machine"
		}
		mine := c.running != nil && s.Client == seen.ClientAddr
		if own[s.PID] || mine || s.Application != "" && s.Application != "plusmoin" || slices.Contains(from, place) {
			continue
		}
		from = append(from, place)
	}
	return from
}
