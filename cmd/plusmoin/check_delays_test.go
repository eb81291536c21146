package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/monitor"
)

// failing is a master and a slave, as connections to them look to the monitor:
// from some moment on one of them fails.
type failing struct {
	cfg     config.Config
	kind    string
	at      time.Time
	noticed atomic.Bool // the node is not waited for
	row     *cluster.Row
	copied  *cluster.Row // the row on the slave
}

var (
	watchedMaster = cluster.Node{Host: "m", Port: 5432}
	watchedSlave  = cluster.Node{Host: "s", Port: 5432}
)

func (f *failing) failed() bool { return !f.at.IsZero() && !time.Now().Before(f.at) }

func (f *failing) Look(_ context.Context, _ []cluster.Node, _ func(cluster.Node) bool) map[cluster.Node]cluster.Sighting {
	seen := map[cluster.Node]cluster.Sighting{}
	seen[watchedSlave] = cluster.Sighting{Outcome: cluster.Answered, Slave: true, Row: f.copied}
	seen[watchedMaster] = cluster.Sighting{Outcome: cluster.Answered, Row: f.row}
	if f.kind == "slave that lags" || !f.failed() {
		return seen
	}
	if f.kind != "crash" && !f.noticed.Load() {
		time.Sleep(f.cfg.QueryTimeout) // it is silent
	}
	f.noticed.Store(true)
	seen[watchedMaster] = cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonTimeout}
	return seen
}

func (f *failing) Beat(_ context.Context, beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome {
	sent := map[cluster.Node]cluster.BeatOutcome{}
	for _, b := range beats {
		f.row = &b.Row
		if f.kind != "slave that lags" || !f.failed() {
			f.copied = f.row
		}
		sent[b.Node] = cluster.BeatOutcome{Verdict: cluster.Confirmed}
	}
	return sent
}

// alarm notes when something was first told to be down.
type alarm struct{ at time.Time }

func (a *alarm) Heard(_ cluster.Snapshot, events []cluster.Event) {
	for _, e := range events {
		if a.at.IsZero() && (e.Kind == cluster.MasterDown || e.Kind == cluster.SlaveDown) {
			a.at = time.Now()
		}
	}
}

// What check prints as the worst is never exceeded by the real loop, and is
// nearly reached when the failure comes at the worst moment.
func TestDelaysAreThoseOfTheLoop(t *testing.T) {
	for name, keys := range map[string]string{
		"defaults":             ``,
		"quick":                `"heartbeat": 1, "query_timeout": 0.5, "fail_interval": 2, "max_sync_delay": 7,`,
		"at the first look":    `"heartbeat": 10, "fail_interval": 0, "max_sync_delay": 25,`,
		"uneven":               `"heartbeat": 3.3, "query_timeout": 3, "fail_interval": 1, "max_sync_delay": 10.5,`,
		"several a second":     `"heartbeat": 0.25, "fail_interval": 1, "max_sync_delay": 2,`,
		"limit of a heartbeat": `"heartbeat": 5, "fail_interval": 7, "max_sync_delay": 5,`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, err := config.Parse([]byte(`{` + keys + ` "dbname": "d", "user": "u",
				"nodes": [{"host": "m"}, {"host": "s"}]}`))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range delaysOf(cfg) {
				checkDelay(t, cfg, d)
			}
		})
	}
}

func checkDelay(t *testing.T, cfg config.Config, d delay) {
	var worst time.Duration
	const phases = 20
	for i := range phases {
		phase := cfg.Heartbeat.Interval*time.Duration(i)/phases + time.Millisecond
		took := timeUntilTold(t, cfg, d, phase)
		if took > d.most+10*time.Millisecond {
			t.Errorf("%s %v after a heartbeat is told after %v, said to be at most %v", d.what, phase, took, d.most)
		}
		worst = max(worst, took)
	}
	if worst < d.most-cfg.Heartbeat.Interval-wakeDelay {
		t.Errorf("%s: never takes longer than %v, said to be up to %v", d.what, worst, d.most)
	}
}

// timeUntilTold runs the loop and lets a node fail some time after a heartbeat.
func timeUntilTold(t *testing.T, cfg config.Config, d delay, phase time.Duration) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		nodes, heard, wake := &failing{cfg: cfg, kind: d.what}, &alarm{}, make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		m := monitor.New(nodes, watching(cfg), wake, nil, slog.New(slog.DiscardHandler), heard)
		done := make(chan error)
		nodes.at = time.Now().Add(5*cfg.Heartbeat.Interval + phase)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(time.Until(nodes.at))
		synctest.Wait()
		switch d.what {
		case "crash":
			wake <- struct{}{}
		case "vanished host":
			time.AfterFunc(4*time.Second, func() {
				if !nodes.noticed.Load() {
					wake <- struct{}{}
				}
			})
		}
		time.Sleep(d.most + 3*cfg.Heartbeat.Interval + 10*time.Second)
		synctest.Wait()
		cancel()
		<-done
		if heard.at.IsZero() {
			t.Errorf("%s was never told", d.what)
		}
		took = heard.at.Sub(nodes.at)
	})
	return took
}

func TestLongestGapOfASchedule(t *testing.T) {
	cfg, _, err := config.Parse([]byte(`{"dbname": "d", "user": "u", "heartbeat": "0,1 * * * *"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := longestGap(cfg.Heartbeat, time.Now()); got != 59*time.Minute {
		t.Errorf("%v", got)
	}
}
