package postgres

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
)

// Many slow answers are a sign that there is too much to do, a few are not.
func TestStrained(t *testing.T) {
	const patience = time.Second
	slow := cluster.Sighting{Outcome: cluster.Answered, Latency: patience * 2 / 3}
	mute := silent(patience)
	fine := cluster.Sighting{Outcome: cluster.Answered, Latency: patience / 3}
	refused := cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonRefused}
	for _, c := range []struct {
		nodes, slow int
		how         cluster.Sighting
		want        bool
	}{
		{10, few, slow, false}, {10, few + 1, slow, true}, {10, few + 1, mute, true},
		{100, 10, slow, false}, {100, 11, slow, true}, {100, 100, fine, false}, {100, 100, refused, false},
	} {
		r, seen := &round{patience: patience}, map[cluster.Node]cluster.Sighting{}
		var waited []*target
		for i := range c.nodes {
			n := cluster.Node{Host: "h", Port: i}
			waited = append(waited, &target{connLoop: &connLoop{node: n}})
			seen[n] = fine
			if i < c.slow {
				seen[n] = c.how
			}
		}
		if got := r.strained(waited, seen); got != c.want {
			t.Errorf("%d of %d, %+v: %v", c.slow, c.nodes, c.how, got)
		}
	}
}

// What a node says to an earlier look is not the answer to this one, even if this
// one waits for the node: its failure to answer was forgiven.
func TestForgiven(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	n := fakeServer(t, speaker{func(_ net.Conn, sql string) bool {
		if sql == rowSQL {
			asked.Add(1)
		}
		return true
	}}.serve)
	f := openFleet(t, labSettings())
	lookUntil(t, f, n, answered)
	before := asked.Load()
	node := f.targets[n]
	held := make(chan struct{})
	node.post(func() { <-held })
	f.settings = &Settings{QueryTimeout: 50 * time.Millisecond}
	if seen := lookAt(t, f, n); answered(seen) || !node.failing {
		t.Fatalf("%+v", seen)
	}
	forgive([]*target{node})
	settings := labSettings()
	f.settings = &settings
	time.AfterFunc(20*time.Millisecond, func() { close(held) })
	if seen := lookAt(t, f, n); !answered(seen) || node.open.number != 0 {
		t.Errorf("%+v", seen)
	}
	if got := asked.Load() - before; got != 2 {
		t.Errorf("asked %d times for two looks", got)
	}
}

// That a node is well again does not take away the answer to a look.
func TestWellAgainIsTheAnswer(t *testing.T) {
	l := newConnLoop(t.Context(), cluster.Node{}, nil, nil)
	l.look.number = 7
	l.tell(silent(time.Second))
	l.tell(cluster.Sighting{Outcome: cluster.Answered})
	if a := <-l.answers; a.number != 7 || !answered(a.Sighting) {
		t.Errorf("%+v", a)
	}
	l.tell(cluster.Sighting{Outcome: cluster.Answered})
	l.look.number = 8
	l.tell(silent(time.Second))
	if a := <-l.answers; a.number != 8 || answered(a.Sighting) {
		t.Errorf("%+v", a)
	}
}

// A failure that was told when the look was over is not told again when the node's
// own deadline has passed a moment later: that is one failure and not two.
func TestOneFailureIsToldOnce(t *testing.T) {
	l := newConnLoop(t.Context(), cluster.Node{}, nil, &common{})
	node := &target{connLoop: l}
	node.ask(question{number: 1}, true)
	l.asking.Store(1)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	first := &round{question: question{number: 1}, ctx: t.Context(), within: over, patience: time.Second}
	if seen := node.await(first); seen.Outcome != cluster.Failed || !node.failing {
		t.Fatalf("%+v", seen)
	}
	l.answers <- answer{1, silent(time.Second)}
	second := &round{question: question{number: 2}, ctx: t.Context(), within: over}
	seen, again := node.glance(over, second)
	if seen.Outcome != cluster.Connecting || seen.Reason != cluster.ReasonTimeout || again || node.open.number != 2 {
		t.Errorf("%+v, asked again: %v, %+v", seen, again, node.open)
	}
}
