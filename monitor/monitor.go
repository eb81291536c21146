package monitor

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"plusmoin/cluster"
)

// Nodes looks at PostgreSQL servers and writes on them. Both methods return
// within the timeout they keep themselves, whatever the servers do.
type Nodes interface {
	// urgent says which nodes must not be put off though they have failed.
	Look(ctx context.Context, nodes []cluster.Node, urgent func(cluster.Node) bool) map[cluster.Node]cluster.Sighting
	Beat(ctx context.Context, beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome
}

// Listener is told of every round. What it does takes place between two
// rounds, so it must return soon.
type Listener interface {
	Heard(cluster.Snapshot, []cluster.Event)
}

// Keeper keeps what is to outlast this process. Its methods must return soon.
type Keeper interface {
	// Kept returns what was kept last, nil if there is nothing.
	Kept() []byte
	// Reject is told why what was kept cannot be used.
	Reject(why error)
	Keep(data []byte)
}

// Schedule says when the heartbeat after t is due.
type Schedule interface {
	Next(t time.Time) time.Time
}

// Settings are what a reload can change.
type Settings struct {
	Cluster   cluster.Config
	Heartbeat Schedule
	// Interval is the time between two heartbeats. Unsettled rounds come
	// every Interval or every second, whichever is shorter.
	Interval time.Duration
	// LookTimeout is how long a look may take. One that took much longer was
	// held up here and says nothing about the nodes.
	LookTimeout time.Duration
}

// Monitor is the loop.
type Monitor struct {
	nodes     Nodes
	settings  Settings
	listeners []Listener
	wake      <-chan struct{}
	keeper    Keeper
	reloads   chan reload
	log       *slog.Logger

	started time.Time
	state   cluster.State
}

// New returns a Monitor that tells listeners of each round in the order given.
// A value on wake, which may be nil, lets the next round begin at once. With a
// keeper, which may be nil, a restart is like a suspension.
func New(nodes Nodes, settings Settings, wake <-chan struct{}, keeper Keeper, log *slog.Logger, listeners ...Listener) *Monitor {
	return &Monitor{
		nodes: nodes, settings: settings, listeners: listeners,
		wake: wake, keeper: keeper, reloads: make(chan reload), log: log,
	}
}

// The pace of rounds that do not wait for the next heartbeat.
const (
	unsettledPace = time.Second
	// wakePace is the least time between a round and one that a dropped
	// connection asked for, so that a server which drops every connection
	// does not keep the loop spinning.
	wakePace = 100 * time.Millisecond
	// heldUp is by how much a look may exceed its timeout before it counts
	// as held up: the process was stopped, or its machine was.
	heldUp = time.Second
)

// Run goes round until the context ends. It must be called once.
func (m *Monitor) Run(ctx context.Context) error {
	m.started = time.Now()
	m.state = m.first()
	due := m.started
	for {
		begin := time.Now()
		heartbeat := !begin.Before(due)
		// A schedule may go by the wall clock, and that may have been set
		// back since due was planned.
		if next := m.settings.Heartbeat.Next(begin); heartbeat || next.Before(due) {
			due = next
		}
		if m.round(ctx, heartbeat); ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		if due, err = m.rest(ctx, begin, due); err != nil {
			return err
		}
	}
}

// first returns the State to begin with.
func (m *Monitor) first() cluster.State {
	now := m.moment(m.started)
	if m.keeper != nil {
		if data := m.keeper.Kept(); data != nil {
			state, err := cluster.Restore(now, m.settings.Cluster, data)
			if err == nil {
				return state
			}
			m.keeper.Reject(err)
		}
	}
	return cluster.New(now, m.settings.Cluster)
}

// reload is a request to the loop.
type reload struct {
	settings Settings
	adopt    func() error
	done     chan error
}

// Reload puts new settings in force between two rounds and returns when they
// are. adopt is called by the loop just before, while nothing looks at the
// nodes; if it returns an error nothing changes and Reload returns that.
func (m *Monitor) Reload(ctx context.Context, settings Settings, adopt func() error) error {
	r := reload{settings, adopt, make(chan error, 1)}
	select {
	case m.reloads <- r:
		return <-r.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rest waits for the next round, which begins at due or earlier, and returns
// when the next heartbeat is due.
func (m *Monitor) rest(ctx context.Context, begin, due time.Time) (time.Time, error) {
	next := m.next(begin, due)
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	wake := m.wake
	for {
		select {
		case <-ctx.Done():
			return due, ctx.Err()
		case <-timer.C:
			return due, nil
		case <-wake:
			wake = nil
			timer.Reset(time.Until(earlier(next, begin.Add(wakePace))))
		case r := <-m.reloads:
			err := r.adopt()
			if err == nil {
				m.reconfigure(r.settings)
				due = m.settings.Heartbeat.Next(begin)
			}
			r.done <- err
			return due, nil
		}
	}
}

// next returns when the round after the one that began at begin is to begin.
func (m *Monitor) next(begin, due time.Time) time.Time {
	due = steady(begin, due)
	if !m.state.Unsettled(m.moment(time.Now())) {
		return due
	}
	next := earlier(due, begin.Add(min(m.settings.Interval, unsettledPace)))
	if down, ok := m.state.Deadline(); ok && m.started.Add(down).After(begin) {
		next = earlier(next, m.started.Add(down))
	}
	return next
}

// round looks, decides, beats, decides and tells.
func (m *Monitor) round(ctx context.Context, heartbeat bool) {
	begin, seen := m.look(ctx)
	if ctx.Err() != nil {
		return
	}
	draft := m.state.Observe(m.moment(begin), seen)
	var sent map[cluster.Node]cluster.BeatOutcome
	if beats := draft.Beats(); len(beats) > 0 {
		sent = m.nodes.Beat(ctx, beats)
		if ctx.Err() != nil {
			return
		}
	}
	end := m.moment(time.Now())
	state, events := draft.Settle(end, sent)
	if heartbeat {
		var pulse []cluster.Event
		state, pulse = state.Heartbeat(end)
		events = append(events, pulse...)
	}
	m.state = state
	m.tell(events)
}

// look looks at every node. A look that was held up here is done again, once.
func (m *Monitor) look(ctx context.Context) (time.Time, map[cluster.Node]cluster.Sighting) {
	nodes := make([]cluster.Node, len(m.settings.Cluster.Nodes))
	for i, n := range m.settings.Cluster.Nodes {
		nodes[i] = n.Node
	}
	begin := time.Now()
	urgent := func(n cluster.Node) bool { return m.state.Urgent(m.moment(begin), n) }
	seen := m.nodes.Look(ctx, nodes, urgent)
	if took := time.Since(begin); took > m.settings.LookTimeout+heldUp {
		m.log.Info("look was held up and is done again", "took", took)
		begin = time.Now()
		seen = m.nodes.Look(ctx, nodes, urgent)
	}
	return begin, seen
}

// reconfigure puts new settings in force and tells what they changed.
func (m *Monitor) reconfigure(settings Settings) {
	m.settings = settings
	state, events := m.state.Reconfigure(m.moment(time.Now()), settings.Cluster)
	m.state = state
	m.tell(events)
}

func (m *Monitor) tell(events []cluster.Event) {
	snapshot := m.state.Snapshot()
	if m.keeper != nil && !snapshot.Starting && slices.ContainsFunc(events, changes) {
		m.keeper.Keep(m.state.Save())
	}
	for _, l := range m.listeners {
		l.Heard(snapshot, events)
	}
}

// changes reports whether an event tells of a change, so that what is kept is out
// of date. The first are those of plusmoin_up.
func changes(e cluster.Event) bool { return e.Kind != cluster.PlusmoinHeartbeat }

func (m *Monitor) moment(t time.Time) cluster.Moment {
	return cluster.Moment{Elapsed: t.Sub(m.started), Wall: t.Round(0)}
}

// steady returns due as a time of the monotonic clock, as it was to be at begin:
// that of a schedule may be one of the wall clock, which can be set meanwhile.
func steady(begin, due time.Time) time.Time { return begin.Add(due.Sub(begin)) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
