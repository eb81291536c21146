package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plusmoin/cluster"
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

func each(interval time.Duration) func(time.Time) time.Time {
	return func(t time.Time) time.Time { return t.Add(interval) }
}

func TestJudge(t *testing.T) {
	refused, lost := "heartbeat: must be above 0", cluster.Reason("timeout")
	for _, c := range []struct {
		name     string
		change   func(*status.Document)
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
			change: func(d *status.Document) { d.Heartbeat = 30 },
		},
		{
			name: "stopped", later: 2 * time.Minute, level: unknown,
			change:   func(d *status.Document) { d.State = status.Stopped },
			findings: []string{"plusmoin is not running: it was stopped 2m00s ago"},
		},
		{
			name: "starting", level: degraded,
			change:   func(d *status.Document) { d.State = status.Starting },
			findings: []string{"plusmoin is still starting"},
		},
		{
			name: "no master", level: critical,
			change: func(d *status.Document) {
				c := &d.Clusters[0]
				c.HasMaster, c.Lost, c.Master, c.Diagnosis = false, []cluster.Entry{*c.Master}, nil, cluster.DeadMaster
				d.Nodes["db1:5432"] = cluster.Detail{State: cluster.Lost, Reason: &lost}
			},
			findings: []string{"cluster 0 has no master (dead_master)", "db1:5432 is lost (timeout)"},
		},
		{
			name: "suspect", level: degraded,
			change:   func(d *status.Document) { d.Nodes["db2:5432"] = cluster.Detail{State: cluster.Slave, Suspect: true} },
			findings: []string{"db2:5432 is suspect"},
		},
		{
			name: "clusterless, split brain, warned of, refused", level: degraded,
			change: func(d *status.Document) {
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
			d := sample()
			if c.change != nil {
				c.change(&d)
			}
			got := judge(d, d.UpdatedAt.Add(c.later), each(max(c.every, time.Second)))
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
			got := atWork(d, d.UpdatedAt.Add(c.later), each(time.Second))
			if got.level != c.level || strings.Join(got.findings, "; ") != c.finding || got.stale != (c.level == critical) {
				t.Errorf("%+v, want level %d because of %q", got, c.level, c.finding)
			}
		})
	}
}

func TestTable(t *testing.T) {
	d := sample()
	hostile := "relation \x1b[2J\nmissing"
	d.Nodes["db2:5432"] = cluster.Detail{State: cluster.Slave, Suspect: true, Since: d.UpdatedAt, Error: &hostile}
	local := d.UpdatedAt.Local().Add(-90 * time.Second).Format(time.DateTime)
	var out strings.Builder
	view := tableView{out: &out, now: d.UpdatedAt.Add(500 * time.Millisecond)}
	if err := view.show(d, judge(d, view.now, each(time.Second))); err != nil {
		t.Fatal(err)
	}
	want := `WARNING: db2:5432 is suspect
plusmoin 1.0, running, round 7 in 2.5 ms, heartbeat 1 s, written 0.5s ago

NODE        STATE           LAG  SINCE                FOR    REASON
cluster 0: ok
  db1:5432  master          -    ` + local + `  1m30s
  db2:5432  slave, suspect  -    ` + d.UpdatedAt.Local().Format(time.DateTime) + `  0.5s   relation ?[2J missing
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	view.colour = true
	if err := view.show(d, health{}); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{"\x1b[32mmaster\x1b[0m          -  ", "\x1b[33mslave, suspect\x1b[0m  -  "} {
		if !strings.Contains(out.String(), wanted) {
			t.Errorf("no %q in\n%q", wanted, out.String())
		}
	}
}
