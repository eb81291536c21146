package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/awake"
)

// Fleet is the nodes and the connections kept to them. Its methods are for one
// goroutine, but for Dropped, whose channel anyone may wait on.
type Fleet struct {
	settings *Settings // never written to: all loops share them
	common   *common
	dropped  chan struct{}
	targets  map[cluster.Node]*target
	loops    sync.WaitGroup
	number   uint64    // of the last look or beat
	factsAt  time.Time // when a look that asked for facts began last
}

// Open returns a Fleet without nodes: Look is told them. It connects to
// nothing. The error says what is wrong with the settings or with a file that
// they name.
func Open(s Settings, log *slog.Logger) (*Fleet, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	dropped := make(chan struct{}, 1)
	return &Fleet{
		settings: &s, dropped: dropped, targets: map[cluster.Node]*target{},
		common: &common{log: log, slots: newSlots(), dropped: dropped, establish: establish},
	}, nil
}

// Reconfigure takes new settings into use for all connections, which are made
// anew before the old ones are closed. Settings with an error change nothing.
func (f *Fleet) Reconfigure(s Settings) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("database settings: %w", err)
	}
	if s == *f.settings {
		return nil
	}
	f.settings = &s
	for _, t := range f.targets {
		t.settle(&s)
	}
	return nil
}

// Dropped is sent to when a connection drops that was kept and idle: its server
// or the way to it is probably gone. Many drops may give one signal.
func (f *Fleet) Dropped() <-chan struct{} { return f.dropped }

// Close closes all connections and waits for everything that f started.
func (f *Fleet) Close() {
	for n := range f.targets {
		f.leave(n)
	}
	f.loops.Wait()
}

// Look looks at nodes, all at once, and returns a sighting of each. It returns
// when every node that did not fail the last time has its outcome, and at the
// latest after QueryTimeout or when ctx ends; time in which this process did not
// run does not count. A node without an outcome by then is Connecting, with the
// reason for which it failed last. One that failed the last time is looked at as
// well; an answer that comes a moment after the others' is not in the map but
// makes the next Look wait for that node again.
//
// Connections to nodes that are no longer in the list are closed.
//
// urgent says which nodes must not be put off; nil means all. Another one that
// could not be connected to or did not answer is connected to less and less
// often, but at least once a Heartbeat, at a time of its own between two looks
// and only so many of them at once. Nodes with a connection are looked at in
// any case, and the first connect is never put off. An urgent one that could not
// be connected to is tried again before the next Look.
//
// Facts that change are asked for once a second, by all looks if they come less
// often, and whenever something may have happened: while a node is urgent, when
// one that answered before does not, and of a node with a new connection or
// another role. In between a node's facts are those of its last look, which is
// said in the sighting.
func (f *Fleet) Look(ctx context.Context, nodes []cluster.Node, urgent func(cluster.Node) bool) map[cluster.Node]cluster.Sighting {
	f.setNodes(nodes)
	r, cancel := f.begin(ctx, urgent)
	defer cancel()
	seen := make(map[cluster.Node]cluster.Sighting, len(f.targets))
	var waited, failing []*target
	for _, t := range f.targets {
		if t.failing {
			failing = append(failing, t)
		} else {
			waited = append(waited, t)
		}
	}
	r.hear(waited, seen)
	if r.strained(waited, seen) {
		f.common.slots.strain(r.began)
	}
	f.refresh(r, waited, seen)
	r.hear(r.glance(failing, seen), seen)
	if time.Since(r.began) > f.settings.QueryTimeout+heldUp {
		forgive(waited)
	}
	return seen
}

// round is one look at all nodes.
type round struct {
	question
	began    time.Time
	ctx      context.Context // of the whole round
	within   context.Context // for as long as nodes are waited for
	patience time.Duration   // how long that is
}

// begin asks for a look at all nodes.
func (f *Fleet) begin(ctx context.Context, urgent func(cluster.Node) bool) (*round, context.CancelFunc) {
	r := &round{began: time.Now(), ctx: ctx, patience: f.settings.QueryTimeout}
	within, cancel := awake.WithTimeout(ctx, r.patience)
	r.within = within
	haste := make(map[*target]bool, len(f.targets))
	r.facts = r.began.Sub(f.factsAt) >= factsAge
	for n, t := range f.targets {
		if urgent == nil || urgent(n) {
			haste[t], r.facts = true, true
		}
	}
	if r.facts {
		f.factsAt = r.began
	}
	f.number++
	r.number = f.number
	for _, t := range f.targets {
		t.begin(r.question, haste[t])
	}
	return r, cancel
}

// hear enters what targets that are waited for have to say.
func (r *round) hear(targets []*target, seen map[cluster.Node]cluster.Sighting) {
	for _, t := range targets {
		seen[t.node] = t.await(r)
	}
}

// strained reports whether many nodes took long to answer, or did not: then the
// servers or this machine have too much to do, and connects are to leave them time
// for looks.
func (r *round) strained(waited []*target, seen map[cluster.Node]cluster.Sighting) bool {
	slow := 0
	for _, t := range waited {
		if s := seen[t.node]; s.Latency > r.patience/2 || s.Outcome == cluster.Failed && s.Reason == cluster.ReasonTimeout {
			slow++
		}
	}
	return slow > few && slow > len(waited)/10
}

// few nodes may be slow for reasons of their own.
const few = 5

// glance enters what targets that failed before have to say by the end of a
// moment. It returns those that were asked again: they are well and will answer at
// once.
func (r *round) glance(targets []*target, seen map[cluster.Node]cluster.Sighting) (again []*target) {
	if len(targets) == 0 {
		return nil
	}
	moment, end := awake.WithTimeout(r.within, grace)
	defer end()
	for _, t := range targets {
		s, asked := t.glance(moment, r)
		seen[t.node] = s
		if asked {
			again = append(again, t)
		}
	}
	return again
}

// refresh asks those that answered for their facts, if the look did not and
// another node has just failed: what they hear from that one is evidence, and must
// not be from before.
func (f *Fleet) refresh(r *round, waited []*target, seen map[cluster.Node]cluster.Sighting) {
	fails := func(t *target) bool { return t.failing }
	if r.facts || !slices.ContainsFunc(waited, fails) || r.ctx.Err() != nil {
		return
	}
	f.number++
	q := question{number: f.number, facts: true}
	f.factsAt = time.Now()
	moment, end := awake.WithTimeout(r.ctx, grace)
	defer end()
	for _, t := range waited {
		if seen[t.node].FactsKept {
			t.ask(q, true)
		}
	}
	for _, t := range waited {
		if t.open.number != q.number {
			continue
		}
		if a, ok := t.receive(moment); ok {
			seen[t.node] = t.take(a)
		}
	}
}

const (
	// factsAge is for how long facts need not be asked for again: a second less
	// what looks a second apart may come too early.
	factsAge = 900 * time.Millisecond
	// grace is for how long a look waits for the nodes that failed before, if
	// they have just been asked or are urgent: one that came back answers in
	// that time.
	grace = 50 * time.Millisecond
	// A look that took so much longer than it may was held up here, with the
	// whole process, and says nothing of the nodes: the next waits for all that
	// it waited for.
	heldUp = time.Second
)

// forgive lets the next look wait for targets whose look was held up. What they
// still have to say has the number of this look and is not taken for the answer
// to the next.
func forgive(targets []*target) {
	for _, t := range targets {
		t.failing = false
	}
}

// setNodes makes f's nodes those of the list.
func (f *Fleet) setNodes(nodes []cluster.Node) {
	listed := make(map[cluster.Node]bool, len(nodes))
	for _, n := range nodes {
		listed[n] = true
		if f.targets[n] == nil {
			f.join(n)
		}
	}
	for n := range f.targets {
		if !listed[n] {
			f.leave(n)
		}
	}
}

func (f *Fleet) join(n cluster.Node) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &target{connLoop: newConnLoop(ctx, n, f.settings, f.common), cancel: cancel}
	f.targets[n] = t
	f.loops.Go(t.run)
}

func (f *Fleet) leave(n cluster.Node) {
	f.targets[n].cancel()
	delete(f.targets, n)
}

// Beat sends beats, all at once and at most one a node, and returns what became
// of each. It waits at most QueryTimeout, which is counted as for Look. A node
// that Look was not told of, or whose connection is gone, refuses its beat.
func (f *Fleet) Beat(ctx context.Context, beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome {
	outcomes := make(map[cluster.Node]cluster.BeatOutcome, len(beats))
	within, cancel := awake.WithTimeout(ctx, f.settings.QueryTimeout)
	defer cancel()
	f.number++
	for _, b := range beats {
		t := f.targets[b.Node]
		switch {
		case t == nil:
			outcomes[b.Node] = unsent(wrong{cluster.ReasonDisconnected, "no node of the last look"})
		case !t.askBeat(f.number, b.Row):
			outcomes[b.Node] = unsent(wrong{cluster.ReasonTimeout, "the last beat is still under way"})
		}
	}
	for _, b := range beats {
		if _, ok := outcomes[b.Node]; !ok {
			outcomes[b.Node] = f.targets[b.Node].awaitBeat(within, ctx)
		}
	}
	return outcomes
}
