package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/status"
)

// sample is a document about one healthy cluster, written at noon.
func sample() status.Document {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	master := cluster.Entry{Host: "db1", Port: 5432}
	slave := cluster.Entry{Host: "db2", Port: 5432, IsSlave: true, MasterName: "db1:5432"}
	lag := 0.25
	return status.Document{
		Version: "1.0", State: status.Running, UpdatedAt: noon, Heartbeat: 1,
		Round: status.Round{Number: 7, DurationMS: 2.5},
		Snapshot: cluster.Snapshot{
			Clusters: []cluster.Cluster{{HasMaster: true, Master: &master, Slaves: []cluster.Entry{slave}, Diagnosis: cluster.OK}},
			Nodes: map[string]cluster.Detail{
				"db1:5432": {State: cluster.Master, Since: noon.Add(-90 * time.Second)},
				"db2:5432": {State: cluster.Slave, Since: noon.Add(-26 * time.Hour), Lag: &lag},
			},
		},
	}
}

// reads returns a document as read by a configuration with a heartbeat.
func reads(d status.Document, interval time.Duration) reading {
	return reading{Document: d, cfg: &config.Config{Heartbeat: config.Heartbeat{Interval: interval}}}
}

// textOf returns a pointer to a text of any kind.
func textOf[T ~string](text T) *T { return &text }

func TestJudge(t *testing.T) {
	refused, lost := "heartbeat: must be above 0", cluster.Reason("timeout")
	for _, c := range []struct {
		name     string
		change   func(*reading)
		later    time.Duration
		every    time.Duration // 1 s if 0
		level    int
		findings []string
	}{
		{name: "healthy"},
		{name: "late, but within the margin", later: 16 * time.Second},
		{
			name: "stale", later: 18 * time.Second, level: critical,
			findings: []string{"the status is stale: last written 18s ago"},
		},
		{name: "a rare heartbeat", later: 2 * time.Hour, every: time.Hour},
		{
			name: "a heartbeat that was rare", later: time.Minute,
			change: func(d *reading) { d.Heartbeat = 30 },
		},
		{
			name: "stopped", later: 2 * time.Minute, level: unknown,
			change:   func(d *reading) { d.State = status.Stopped },
			findings: []string{"plusmoin is not running: it was stopped 2m00s ago"},
		},
		{
			name: "starting", level: degraded,
			change:   func(d *reading) { d.State = status.Starting },
			findings: []string{"plusmoin is still starting"},
		},
		{
			name: "no master", level: critical,
			change: func(d *reading) {
				c := &d.Clusters[0]
				c.HasMaster, c.Lost, c.Master, c.Diagnosis = false, []cluster.Entry{*c.Master}, nil, cluster.DeadMaster
				d.Document.Nodes["db1:5432"] = cluster.Detail{State: cluster.Lost, Reason: &lost}
			},
			findings: []string{"cluster 0 has no master (dead_master)", "db1:5432 is lost (timeout)"},
		},
		{
			name: "suspect", level: degraded,
			change:   func(d *reading) { d.Document.Nodes["db2:5432"] = cluster.Detail{State: cluster.Slave, Suspect: true} },
			findings: []string{"db2:5432 is suspect"},
		},
		{
			name: "killed", later: time.Second, level: critical, change: func(d *reading) { d.killed = true },
			findings: []string{"plusmoin was killed: it is said to be running, but nobody keeps the status file, last written 1.0s ago"},
		},
		{name: "a clock a little ahead", later: -5 * time.Second},
		{
			name: "a clock ahead", later: -6 * time.Second, level: unknown,
			findings: []string{"the status was written 6.0s ahead of this clock: one of the two is wrong"},
		},
		{
			name: "without a configuration, late but within the margin", later: 16 * time.Second,
			change: func(d *reading) { d.cfg = nil },
		},
		{
			name: "without a configuration", later: 18 * time.Second, level: critical, change: func(d *reading) { d.cfg = nil },
			findings: []string{"the status is stale: last written 18s ago"},
		},
		{
			name: "a heartbeat that cannot be", later: time.Hour, level: healthy, change: func(d *reading) { d.Heartbeat = 1e300 },
		},
		{
			name: "no cluster", level: critical,
			change: func(d *reading) {
				d.Clusterless, d.Clusters = []cluster.Entry{*d.Clusters[0].Master}, nil
				d.Document.Nodes = map[string]cluster.Detail{"db1:5432": {State: cluster.Clusterless, Reason: &lost}}
			},
			findings: []string{"there is no cluster: none of 1 nodes is a master that can be written to", "db1:5432 is clusterless (timeout)"},
		},
		{
			name: "no cluster, nodes are configured", level: critical,
			change: func(d *reading) {
				d.Clusters, d.Document.Nodes = nil, nil
				d.cfg.Nodes = make([]cluster.NodeConfig, 3)
			},
			findings: []string{"there is no cluster: none of 3 nodes is a master that can be written to"},
		},
		{name: "no node", change: func(d *reading) { d.Clusters, d.Document.Nodes = nil, nil }},
		{
			name: "no cluster yet", level: degraded,
			change:   func(d *reading) { d.Clusters, d.State = nil, status.Starting },
			findings: []string{"plusmoin is still starting"},
		},
		{
			name: "split off", level: degraded,
			change: func(d *reading) {
				from := 7
				d.Clusters[0].Diagnosis, d.words = cluster.SplitOff, map[int]word{0: {SplitFrom: &from}}
			},
			findings: []string{"cluster 0: split_off from cluster 7"},
		},
		{
			name: "split off, and without a master", level: critical,
			change: func(d *reading) {
				from, c := 7, &d.Clusters[0]
				c.HasMaster, c.Master, c.Diagnosis, d.words = false, nil, cluster.DeadMaster, map[int]word{0: {SplitFrom: &from}}
			},
			findings: []string{"cluster 0, split off from cluster 7, has no master (dead_master)"},
		},
		{
			name: "split off, and the master is suspect", level: degraded,
			change: func(d *reading) {
				from := 7
				d.Clusters[0].Diagnosis, d.words = cluster.DeadMaster, map[int]word{0: {SplitFrom: &from}}
			},
			findings: []string{"cluster 0, split off from cluster 7: dead_master"},
		},
		{
			name: "a master that answers, with a reason", level: degraded,
			change: func(d *reading) {
				d.Document.Nodes["db1:5432"] = cluster.Detail{State: cluster.Master, Reason: textOf(cluster.ReasonTooMany)}
			},
			findings: []string{"db1:5432 is not in order (too_many_connections)"},
		},
		{
			name: "commits that hang", level: degraded,
			change: func(d *reading) {
				d.Document.Nodes["db1:5432"] = cluster.Detail{State: cluster.Master, SyncBlocked: cluster.Yes}
			},
			findings: []string{"db1:5432: commits wait for a synchronous standby that is not there (sync_blocked)"},
		},
		{
			name: "the worst first", level: critical,
			change: func(d *reading) {
				d.Clusters[0].Diagnosis = cluster.NoSlavesInSync
				d.Clusters = append(d.Clusters, cluster.Cluster{ID: 1, Diagnosis: cluster.UnconfirmedMaster})
			},
			findings: []string{"cluster 1 has no master (unconfirmed_master)", "cluster 0: no_slaves_in_sync"},
		},
		{
			name: "clusterless, split brain, warned of, refused", level: critical,
			change: func(d *reading) {
				d.Clusterless = []cluster.Entry{{Host: "db3", Port: 5432}}
				d.Clusters[0].Diagnosis = cluster.SplitBrain
				d.Warnings = []cluster.Warning{{Text: "a and b are one server"}}
				d.Config.Error = &refused
			},
			findings: []string{
				"cluster 0: split_brain", "db3:5432 is clusterless", "a and b are one server",
				"the last reload was refused: heartbeat: must be above 0",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reads(sample(), max(c.every, time.Second))
			if c.change != nil {
				c.change(&r)
			}
			got := judge(r, r.UpdatedAt.Add(c.later))
			if got.level != c.level || !slices.Equal(got.findings, c.findings) {
				t.Errorf("level %d, want %d; findings %s", got.level, c.level, cmp.Diff(c.findings, got.findings))
			}
		})
	}
}

func TestAtWork(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*status.Document)
		later   time.Duration
		level   int
		finding string
	}{
		{name: "healthy"},
		{name: "starting", change: func(d *status.Document) { d.State = status.Starting }},
		{name: "no master, late but within the margin", later: 16 * time.Second, change: func(d *status.Document) {
			d.Clusters[0].HasMaster = false
			d.Clusterless = []cluster.Entry{{Host: "db3", Port: 5432}}
			d.Warnings = []cluster.Warning{{Text: "a and b are one server"}}
		}},
		{
			name: "stale", later: 18 * time.Second, level: critical,
			finding: "the status is stale: last written 18s ago",
		},
		{
			name: "stale since it started", later: 18 * time.Second, level: critical,
			change:  func(d *status.Document) { d.State = status.Starting },
			finding: "the status is stale: last written 18s ago",
		},
		{
			name: "stopped", later: time.Second, level: unknown,
			change:  func(d *status.Document) { d.State = status.Stopped },
			finding: "plusmoin is not running: it was stopped 1.0s ago",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := sample()
			if c.change != nil {
				c.change(&d)
			}
			got := atWork(reads(d, time.Second), d.UpdatedAt.Add(c.later))
			if got.level != c.level || strings.Join(got.findings, "; ") != c.finding || (got.fault == stale) != (c.level == critical) {
				t.Errorf("%+v, want level %d because of %q", got, c.level, c.finding)
			}
		})
	}
}
