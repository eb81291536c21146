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
	fault    fault
}

// fault is what may be wrong with plusmoin itself.
type fault int

const (
	noFault fault = iota
	stopped       // in order
	killed
	stale     // the file is not being kept up to date
	otherTime // the file is of a time that has not come yet
)

const (
	// staleMargin is how much later than the heartbeat after next a file may
	// be written: a round looks twice at worst, and the disk may be slow.
	staleMargin = 15 * time.Second
	// clockMargin is how much ahead of this clock that of the writer may be.
	clockMargin = 5 * time.Second
)

// atWork tells whether plusmoin itself is at work at now, however the servers
// are.
func atWork(r reading, now time.Time) health {
	var h health
	since := now.Sub(r.UpdatedAt)
	switch {
	case r.State == status.Stopped:
		h.fault = stopped
		h.find(unknown, "plusmoin is not running: it was stopped %s ago", age(since))
	case r.killed:
		h.fault = killed
		h.find(critical, "plusmoin was killed: it is said to be %s, but nobody keeps the status file, last written %s ago", r.State, age(since))
	case since < -clockMargin:
		h.fault = otherTime
		h.find(unknown, "the status was written %s ahead of this clock: one of the two is wrong", age(r.UpdatedAt.Sub(now)))
	case late(r, now):
		h.fault = stale
		h.find(critical, "the status is stale: last written %s ago", age(since))
	}
	return h
}

// judge tells how all is at now.
func judge(r reading, now time.Time) health {
	h := atWork(r, now)
	if h.fault == stopped {
		return h
	}
	h.clusters(r)
	if r.State == status.Starting {
		h.find(degraded, "plusmoin is still starting")
	}
	h.nodes(r)
	for _, w := range r.Warnings {
		h.find(degraded, "%s", w.Text)
	}
	if r.Config.Error != nil {
		h.find(degraded, "the last reload was refused: %s", *r.Config.Error)
	}
	return h
}

// clusters finds what is wrong with clusters, the worst first.
func (h *health) clusters(r reading) {
	listed := r.Document.Nodes
	configured := 0
	if r.cfg != nil {
		configured = len(r.cfg.Nodes)
	}
	if n := max(r.nodes(), len(listed), configured); n > 0 && len(r.Clusters) == 0 && r.State != status.Starting {
		h.find(critical, "there is no cluster: none of %d nodes is a master that can be written to", n)
	}
	for _, wanted := range []int{critical, degraded} {
		for _, c := range r.Clusters {
			if level, text := r.verdict(c); level == wanted {
				h.find(level, "%s", text)
			}
		}
	}
}

// nodes finds what is wrong with nodes: first those out of their place, then
// those in it that are not as they should be.
func (h *health) nodes(r reading) {
	for _, c := range r.Clusters {
		for _, e := range c.Lost {
			h.find(degraded, "%s is lost%s", address(e), reason(r, e))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Document.Nodes)) {
		d := r.Document.Nodes[name]
		inPlace := d.State == cluster.Master || d.State == cluster.Slave
		switch {
		case d.Suspect:
			h.find(degraded, "%s is suspect%s", name, because(d))
		case inPlace && d.Reason != nil:
			h.find(degraded, "%s is not in order%s", name, because(d))
		}
		if d.State == cluster.Master && d.SyncBlocked == cluster.Yes {
			h.find(degraded, "%s: %s", name, syncBlocked)
		}
	}
	for _, e := range r.Clusterless {
		h.find(degraded, "%s is clusterless%s", address(e), reason(r, e))
	}
}

// syncBlocked is said of a master whose commits hang though it takes beats,
// which do not wait.
const syncBlocked = "commits wait for a synchronous standby that is not there (sync_blocked)"

func (h *health) find(level int, format string, args ...any) {
	h.level = max(h.level, level)
	h.findings = append(h.findings, fmt.Sprintf(format, args...))
}

// late reports whether the heartbeat after next has passed without being told.
// The interval in the file counts too: the configuration may have changed since.
func late(r reading, now time.Time) bool {
	due := r.UpdatedAt.Add(time.Duration(2 * min(r.Heartbeat, 1e9) * float64(time.Second)))
	if r.cfg != nil {
		if next := r.cfg.Heartbeat.Next(r.cfg.Heartbeat.Next(r.UpdatedAt)); next.After(due) {
			due = next
		}
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

func reason(r reading, e cluster.Entry) string { return because(r.Document.Nodes[address(e)]) }

// because returns the reason of a node in parentheses.
func because(d cluster.Detail) string {
	if d.Reason == nil {
		return ""
	}
	return fmt.Sprintf(" (%s)", *d.Reason)
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
