package monitor_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plusmoin/cluster"
	"plusmoin/monitor"
)

// pair is a master and a slave that follows it at once.
type pair struct {
	row *cluster.Row

	mu   sync.Mutex
	down map[cluster.Node]bool
	hang time.Duration // of the next look
}

// is makes nodes be down or up, and the next look hang.
func (p *pair) is(down bool, n cluster.Node, hang time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[n], p.hang = down, hang
}

// held returns how long this look hangs.
func (p *pair) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	hang := p.hang
	p.hang = 0
	return hang
}

var (
	m1 = cluster.Node{Host: "m1", Port: 5432}
	s1 = cluster.Node{Host: "s1", Port: 5432}
)

func (p *pair) Look(_ context.Context, nodes []cluster.Node, _ func(cluster.Node) bool) map[cluster.Node]cluster.Sighting {
	defer func() { time.Sleep(p.held()) }() // what was seen is of before
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[cluster.Node]cluster.Sighting{}
	for _, n := range nodes {
		seen[n] = cluster.Sighting{Outcome: cluster.Answered, Slave: n != m1, Row: p.row}
		if p.down[n] {
			seen[n] = cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonRefused}
		}
	}
	return seen
}

func (p *pair) Beat(_ context.Context, beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome {
	sent := map[cluster.Node]cluster.BeatOutcome{}
	for _, b := range beats {
		p.row = &b.Row
		sent[b.Node] = cluster.BeatOutcome{Verdict: cluster.Confirmed}
	}
	return sent
}

// diary is a Listener that writes down when rounds took place and what was
// told.
type diary struct {
	start  time.Time
	rounds []time.Duration
	told   []string
}

func (d *diary) Heard(_ cluster.Snapshot, events []cluster.Event) {
	at := time.Since(d.start)
	d.rounds = append(d.rounds, at)
	for _, e := range events {
		d.told = append(d.told, at.String()+" "+string(e.Kind))
	}
}

type every time.Duration

func (e every) Next(t time.Time) time.Time { return t.Add(time.Duration(e)) }

func settings(interval time.Duration, nodes ...cluster.Node) monitor.Settings {
	c := cluster.Config{FailInterval: time.Second, MaxSyncDelay: 5 * time.Second}
	for _, n := range nodes {
		c.Nodes = append(c.Nodes, cluster.NodeConfig{Node: n, MaxSyncDelay: 5 * time.Second, RecoverSyncDelay: 2 * time.Second})
	}
	return monitor.Settings{Cluster: c, Heartbeat: every(interval), Interval: interval, LookTimeout: time.Second}
}

// run lets a monitor run in virtual time while script acts on it.
func run(t *testing.T, nodes monitor.Nodes, s monitor.Settings, script func(*monitor.Monitor, chan<- struct{})) *diary {
	d := &diary{}
	synctest.Test(t, func(t *testing.T) {
		d.start = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{}, 1)
		m := monitor.New(nodes, s, wake, nil, slog.New(slog.DiscardHandler), d)
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		script(m, wake)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	return d
}

// until lets virtual time pass up to shortly after at.
func until(at time.Duration) {
	time.Sleep(at + time.Millisecond)
	synctest.Wait()
}

func TestRoundsComeEarlyWhileUnsettledAndAtHeartbeatsOtherwise(t *testing.T) {
	nodes := &pair{down: map[cluster.Node]bool{}}
	d := run(t, nodes, settings(10*time.Second, m1, s1), func(*monitor.Monitor, chan<- struct{}) {
		until(15 * time.Second)
		nodes.is(true, s1, 0)
		until(6 * time.Second)
	})
	// The start settles with the second round. s1 is found missing by the
	// heartbeat at 20 s and declared down a second later.
	want := []time.Duration{0, time.Second, 10 * time.Second, 20 * time.Second, 21 * time.Second}
	if !slices.Equal(d.rounds, want) {
		t.Errorf("rounds at %v, want %v", d.rounds, want)
	}
	told := []string{"1s plusmoin_up", "10s plusmoin_heartbeat", "20s plusmoin_heartbeat", "21s slave_down"}
	if !slices.Equal(d.told, told) {
		t.Errorf("told %q, want %q", d.told, told)
	}
}

func TestDroppedConnectionsWakeTheLoopAtAPace(t *testing.T) {
	nodes := &pair{down: map[cluster.Node]bool{}}
	d := run(t, nodes, settings(time.Minute, m1, s1), func(_ *monitor.Monitor, wake chan<- struct{}) {
		until(20 * time.Second)
		wake <- struct{}{}
		synctest.Wait()
		wake <- struct{}{}
		until(time.Second)
	})
	at := 20*time.Second + time.Millisecond
	want := []time.Duration{0, time.Second, at, at + 100*time.Millisecond}
	if !slices.Equal(d.rounds, want) {
		t.Errorf("rounds at %v, want %v", d.rounds, want)
	}
}

// hurried is a schedule whose times come earlier than it first said, as those of
// a cron expression do when the wall clock is set back.
type hurried struct{ first, then time.Duration }

func (h *hurried) Next(t time.Time) time.Time {
	next := t.Add(h.first)
	h.first = h.then
	return next
}

func TestHeartbeatIsNotWaitedForWhenTheWallClockWasSetBack(t *testing.T) {
	nodes := &pair{down: map[cluster.Node]bool{}}
	s := settings(time.Minute, m1, s1)
	s.Heartbeat = &hurried{first: time.Hour, then: 10 * time.Second}
	d := run(t, nodes, s, func(*monitor.Monitor, chan<- struct{}) { until(25 * time.Second) })
	// The start settles with the second round, which is no heartbeat.
	want := []time.Duration{0, time.Second, 11 * time.Second, 21 * time.Second}
	if !slices.Equal(d.rounds, want) {
		t.Errorf("rounds at %v, want %v", d.rounds, want)
	}
	if told := "11s plusmoin_heartbeat"; !slices.Contains(d.told, told) {
		t.Errorf("told %q, want among them %q", d.told, told)
	}
}

func TestLookHeldUpHereIsDoneAgain(t *testing.T) {
	nodes := &pair{down: map[cluster.Node]bool{}}
	s := settings(time.Second, m1, s1)
	s.Cluster.FailInterval = 0 // which forgives nothing
	d := run(t, nodes, s, func(*monitor.Monitor, chan<- struct{}) {
		until(3 * time.Second)
		nodes.is(true, s1, time.Hour) // as if the process had been stopped, and what it believes when it comes to
		until(59 * time.Minute)
		nodes.is(false, s1, 0)
		until(3 * time.Minute)
	})
	for _, told := range d.told {
		if strings.HasSuffix(told, "_down") {
			t.Errorf("told %s", told)
		}
	}
}

func TestReloadIsInForceWhenItReturns(t *testing.T) {
	nodes := &pair{down: map[cluster.Node]bool{}}
	d := run(t, nodes, settings(time.Minute, m1, s1), func(m *monitor.Monitor, _ chan<- struct{}) {
		until(5 * time.Second)
		if err := m.Reload(context.Background(), settings(10*time.Second, m1), func() error { return nil }); err != nil {
			t.Error(err)
		}
		until(6 * time.Second)
	})
	if want := "5.001s node_left"; !slices.Contains(d.told, want) {
		t.Errorf("told %q, want among them %q", d.told, want)
	}
	if last := d.rounds[len(d.rounds)-1]; last != 11*time.Second {
		t.Errorf("last round at %v, want 11s: a heartbeat after the last of the old ones", last)
	}
}
