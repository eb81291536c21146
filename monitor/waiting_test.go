package monitor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/monitor"
)

// hiccup is a pair whose slave hangs once, for as long as a look may take, and
// whose master is away for a moment just when that look is over.
type hiccup struct {
	pair
	away time.Time // since when
}

const awayFor = 300 * time.Millisecond

func (h *hiccup) isAway() bool { return time.Since(h.away) < awayFor }

func (h *hiccup) Look(ctx context.Context, nodes []cluster.Node, urgent func(cluster.Node) bool) map[cluster.Node]cluster.Sighting {
	was := h.isAway()
	seen := h.pair.Look(ctx, nodes, urgent)
	if h.down[s1] && h.away.IsZero() {
		h.away = time.Now()
	}
	if was {
		seen[m1] = cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonStartingUp}
	}
	return seen
}

func (h *hiccup) Beat(ctx context.Context, beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome {
	if !h.isAway() {
		return h.pair.Beat(ctx, beats)
	}
	sent := map[cluster.Node]cluster.BeatOutcome{}
	for _, b := range beats {
		sent[b.Node] = cluster.BeatOutcome{Verdict: cluster.Unknown, Reason: cluster.ReasonDisconnected}
	}
	return sent
}

// A beat waits for the look at all nodes. What it waited is not held against the
// master, which is away for less than fail_interval here.
func TestBeatKeptWaitingByAnotherNodeIsNoFailure(t *testing.T) {
	nodes := &hiccup{pair: pair{down: map[cluster.Node]bool{}}}
	d := run(t, nodes, settings(time.Second, m1, s1), func(*monitor.Monitor, chan<- struct{}) {
		until(3500 * time.Millisecond)
		nodes.is(true, s1, time.Second)
		until(4900 * time.Millisecond)
		nodes.is(false, s1, 0)
		until(8 * time.Second)
	})
	if nodes.away.IsZero() {
		t.Fatal("the master was never away")
	}
	for _, told := range d.told {
		if strings.Contains(told, "master") {
			t.Errorf("told %q in %q", told, d.told)
		}
	}
}
