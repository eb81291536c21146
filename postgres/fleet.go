package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/awake"
)

// Fleet is the nodes and the connections kept to them. Its methods are for one
// goroutine, but for Dropped, whose channel anyone may wait on.
type Fleet struct {
	log      *slog.Logger
	settings *Settings // never written to: all links share them
	pool     pool
	dropped  chan struct{}
	ships    map[cluster.Node]*ship
	links    sync.WaitGroup
}

// Open returns a Fleet without nodes: Look is told them. It connects to
// nothing. The error says what is wrong with the settings or with a file that
// they name.
func Open(s Settings, log *slog.Logger) (*Fleet, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	return &Fleet{
		log: log, settings: &s, pool: newPool(),
		dropped: make(chan struct{}, 1), ships: map[cluster.Node]*ship{},
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
	for _, ship := range f.ships {
		ship.settle(&s)
	}
	return nil
}

// Dropped is sent to when a connection drops that was kept and idle: its server
// or the way to it is probably gone. Many drops may give one signal.
func (f *Fleet) Dropped() <-chan struct{} { return f.dropped }

// Close closes all connections and waits for everything that f started.
func (f *Fleet) Close() {
	for n := range f.ships {
		f.leave(n)
	}
	f.links.Wait()
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
func (f *Fleet) Look(ctx context.Context, nodes []cluster.Node, urgent func(cluster.Node) bool) map[cluster.Node]cluster.Sighting {
	began := time.Now()
	f.muster(nodes)
	for n, s := range f.ships {
		s.ask(urgent == nil || urgent(n))
	}
	seen := make(map[cluster.Node]cluster.Sighting, len(f.ships))
	within, cancel := awake.WithTimeout(ctx, f.settings.QueryTimeout)
	defer cancel()
	var waited, failing []*ship
	for _, s := range f.ships {
		if s.failing {
			failing = append(failing, s)
		} else {
			waited = append(waited, s)
		}
	}
	hear := func(ships []*ship) {
		for _, s := range ships {
			seen[s.node] = s.hear(within, ctx, f.settings.QueryTimeout)
		}
	}
	hear(waited)
	hear(glance(within, failing, began, seen))
	if time.Since(began) > f.settings.QueryTimeout+heldUp {
		f.excuse(ctx, waited)
	}
	return seen
}

// glance enters what ships that failed before have to say by the end of a
// moment. It returns those that have answered, but to an earlier look, asked
// again: they are well and will answer at once.
func glance(ctx context.Context, ships []*ship, began time.Time, seen map[cluster.Node]cluster.Sighting) (again []*ship) {
	if len(ships) == 0 {
		return nil
	}
	moment, end := awake.WithTimeout(ctx, grace)
	defer end()
	for _, s := range ships {
		sighting := s.glance(moment, began)
		seen[s.node] = sighting
		if !s.failing && sighting.Outcome != cluster.Answered {
			s.ask(true)
			again = append(again, s)
		}
	}
	return again
}

const (
	// grace is for how long a look waits for the nodes that failed before, if
	// they have just been asked or are urgent: one that came back answers in
	// that time.
	grace = 50 * time.Millisecond
	// A look that took so much longer than it may was held up here, with the
	// whole process, and says nothing of the nodes: the next waits for all that
	// it waited for.
	heldUp = time.Second
)

// excuse lets the next look wait for ships whose look was held up. Their own
// deadlines have passed by now, so what they still have to say comes at once and
// is not to be taken for the answer to the next.
func (f *Fleet) excuse(ctx context.Context, ships []*ship) {
	moment, end := awake.WithTimeout(ctx, grace)
	defer end()
	for _, s := range ships {
		if s.looking {
			s.glance(moment, time.Time{})
		}
		s.failing = false
	}
}

// muster makes f's nodes those of the list.
func (f *Fleet) muster(nodes []cluster.Node) {
	listed := make(map[cluster.Node]bool, len(nodes))
	for _, n := range nodes {
		listed[n] = true
		if f.ships[n] == nil {
			f.join(n)
		}
	}
	for n := range f.ships {
		if !listed[n] {
			f.leave(n)
		}
	}
}

func (f *Fleet) join(n cluster.Node) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &ship{link: newLink(ctx, n, f.settings, f.pool, f.dropped, f.log), cancel: cancel}
	f.ships[n] = s
	f.links.Go(s.run)
}

func (f *Fleet) leave(n cluster.Node) {
	f.ships[n].cancel()
	delete(f.ships, n)
}

// Beat sends beats, all at once and at most one a node, and returns what became
// of each. It waits at most QueryTimeout, which is counted as for Look. A node
// that Look was not told of, or whose connection is gone, refuses its beat.
func (f *Fleet) Beat(ctx context.Context, beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome {
	outcomes := make(map[cluster.Node]cluster.BeatOutcome, len(beats))
	within, cancel := awake.WithTimeout(ctx, f.settings.QueryTimeout)
	defer cancel()
	for _, b := range beats {
		s := f.ships[b.Node]
		if s == nil {
			outcomes[b.Node] = unsent(wrong{cluster.ReasonDisconnected, "no node of the last look"})
			continue
		}
		if !s.askBeat(b.Row) {
			outcomes[b.Node] = unsent(wrong{cluster.ReasonTimeout, "the last beat is still under way"})
		}
	}
	for _, b := range beats {
		if _, ok := outcomes[b.Node]; !ok {
			outcomes[b.Node] = f.ships[b.Node].awaitBeat(within, ctx)
		}
	}
	return outcomes
}
