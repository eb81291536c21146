package demo

import (
	"fmt"
	"slices"
	"strings"

	"plusmoin/cluster"
	"plusmoin/status"
)

// row is a node as the table shows it.
type row struct {
	name, address, state, lag, reason string
	style                             style
}

// table writes where the nodes stand, cluster by cluster, by the status file.
func (s *screen) table(doc status.Document, names map[string]string) {
	for _, c := range doc.Clusters {
		s.line("%s%s, diagnosis %s", margin, s.paint(fmt.Sprintf("cluster %d", c.ID), bold), c.Diagnosis)
		entries := slices.Concat(c.Slaves, c.Lost)
		if c.Master != nil {
			entries = slices.Insert(entries, 0, *c.Master)
		}
		s.rows(entries, doc.Nodes, names)
	}
	if len(doc.Clusterless) > 0 {
		s.line("%s%s", margin, s.paint("in no cluster", bold))
		s.rows(doc.Clusterless, doc.Nodes, names)
	}
}

func (s *screen) rows(entries []cluster.Entry, details map[string]cluster.Detail, names map[string]string) {
	var rows []row
	for _, e := range entries {
		name := entryName(&e)
		rows = append(rows, rowOf(names[name], name, details[name]))
	}
	s.line("%s  %s", margin, s.paint(rowText(row{"node", "address", "state", "lag", "reason", plain}), dim))
	for _, r := range rows {
		s.line("%s  %s", margin, s.paint(rowText(r), r.style))
	}
}

func rowOf(name, address string, d cluster.Detail) row {
	r := row{name: name, address: address, state: string(d.State), lag: "-", reason: "-"}
	switch d.State {
	case cluster.Master, cluster.Slave:
		r.style = green
	case cluster.Lost:
		r.style = red
	default:
		r.style = yellow
	}
	if d.Suspect {
		r.state, r.style = r.state+"?", yellow
	}
	if d.Lag != nil {
		r.lag = fmt.Sprintf("%.1f s", *d.Lag)
	}
	if d.Reason != nil && *d.Reason != cluster.NoReason {
		r.reason = string(*d.Reason)
	}
	return r
}

func rowText(r row) string {
	return strings.TrimRight(fmt.Sprintf("%-5s %-16s %-12s %6s  %s", r.name, r.address, r.state, r.lag, r.reason), " ")
}
