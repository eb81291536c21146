package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

// The levels of health are the exit codes of monitoring plug-ins.
const (
	healthy  = 0
	degraded = 1
	critical = 2
	unknown  = 3
)

// health is what a status file says about everything taken together.
type health struct {
	level    int
	findings []string // the worst first
	stale    bool     // the file is not being kept up to date
}

// staleMargin is how much later than the heartbeat after next a file may be
// written: a round looks twice at worst, and the disk may be slow.
const staleMargin = 15 * time.Second

// atWork tells whether plusmoin itself is at work at now, however the servers
// are; next returns the heartbeat after a time.
func atWork(d status.Document, now time.Time, next func(time.Time) time.Time) health {
	var h health
	switch {
	case d.State == status.Stopped:
		h.find(unknown, "plusmoin is not running: it was stopped %s ago", age(now.Sub(d.UpdatedAt)))
	case late(d, now, next):
		h.stale = true
		h.find(critical, "the status is stale: last written %s ago", age(now.Sub(d.UpdatedAt)))
	}
	return h
}

// judge tells how all is at now; next returns the heartbeat after a time.
func judge(d status.Document, now time.Time, next func(time.Time) time.Time) health {
	h := atWork(d, now, next)
	if h.level == unknown {
		return h
	}
	for _, c := range d.Clusters {
		if !c.HasMaster {
			h.find(critical, "%s has no master (%s)", title(c), c.Diagnosis)
		}
	}
	if d.State == status.Starting {
		h.find(degraded, "plusmoin is still starting")
	}
	h.nodes(d)
	for _, w := range d.Warnings {
		h.find(degraded, "%s", w.Text)
	}
	if d.Config.Error != nil {
		h.find(degraded, "the last reload was refused: %s", *d.Config.Error)
	}
	return h
}

// nodes finds what is wrong with clusters that have a master, and with nodes.
func (h *health) nodes(d status.Document) {
	for _, c := range d.Clusters {
		if c.HasMaster && c.Diagnosis != cluster.OK && c.Diagnosis != "" {
			h.find(degraded, "%s: %s", title(c), c.Diagnosis)
		}
		for _, e := range c.Lost {
			h.find(degraded, "%s is lost%s", address(e), reason(d, e))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Nodes)) {
		if d.Nodes[name].Suspect {
			h.find(degraded, "%s is suspect", name)
		}
	}
	for _, e := range d.Clusterless {
		h.find(degraded, "%s is clusterless%s", address(e), reason(d, e))
	}
}

func (h *health) find(level int, format string, args ...any) {
	h.level = max(h.level, level)
	h.findings = append(h.findings, fmt.Sprintf(format, args...))
}

// late says that the heartbeat after next has passed without being told. The
// interval in the file counts too: the configuration may have changed since.
func late(d status.Document, now time.Time, next func(time.Time) time.Time) bool {
	due := next(next(d.UpdatedAt))
	if twice := d.UpdatedAt.Add(time.Duration(2 * d.Heartbeat * float64(time.Second))); twice.After(due) {
		due = twice
	}
	return now.After(due.Add(staleMargin))
}

func title(c cluster.Cluster) string {
	if c.Name == "" {
		return fmt.Sprintf("cluster %d", c.ID)
	}
	return fmt.Sprintf("cluster %d %q", c.ID, c.Name)
}

func address(e cluster.Entry) string { return cluster.Node{Host: e.Host, Port: e.Port}.String() }

func reason(d status.Document, e cluster.Entry) string {
	if r := d.Nodes[address(e)].Reason; r != nil {
		return fmt.Sprintf(" (%s)", *r)
	}
	return ""
}

// age returns a duration as people say it, in its two largest units.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
