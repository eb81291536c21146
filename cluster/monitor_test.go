package cluster_test

import (
	"strconv"
	"strings"
	"time"

	"plusmoin/cluster"
)

// limits is the part of the configuration that concerns judging.
type limits struct {
	heartbeat, max, recover, fail time.Duration
}

func defaultLimits() limits {
	return limits{heartbeat: time.Second, max: 5 * time.Second, recover: 2 * time.Second, fail: time.Second}
}

// monitor is the loop of plusmoin in the virtual time of a world.
type monitor struct {
	world  *world
	limits limits
	own    map[string]limits // max and recover of single nodes
	nodes  []string          // configured names, in order
	labels map[string]string // cluster_name of nodes

	on            bool
	state         cluster.State
	config        cluster.Config // what the State was given last
	born          time.Duration  // when, in the world's time
	slept         time.Duration  // time that this monitor's monotonic clock missed
	step          time.Duration  // how far the wall clock is off
	nextHeartbeat time.Duration
	nextRound     time.Duration

	missed  map[string]cluster.Sighting    // what the next probe of a node gives instead
	verdict map[string]cluster.BeatVerdict // what the next beat of a node is said to be
	hooks   []func()                       // run once, between look and beat
	// lookTakes and beatTakes are how long the two halves of a round last.
	lookTakes, beatTakes time.Duration
	keeps                bool   // a state file
	saved                []byte // what it holds, nil before there is one

	told    func(at time.Duration, events []cluster.Event)
	watched func(round) // sees every round and reload, may be nil
}

// round is all that went into one round and came out of it.
type round struct {
	at            time.Duration // in the world's time
	begun, ended  cluster.Moment
	config        cluster.Config
	seen          map[cluster.Node]cluster.Sighting
	beats         []cluster.Beat
	sent          map[cluster.Node]cluster.BeatOutcome
	before, after cluster.Snapshot
	events        []cluster.Event // those of Heartbeat not among them
	heartbeats    []cluster.Event
	unsettled     bool
	reload        bool // not a round but Reconfigure
	first         bool // of a run
	restored      bool // and that went on from a state file
	repeat        func() (cluster.Snapshot, []cluster.Beat, cluster.Snapshot, []cluster.Event)
}

func newMonitor(w *world) *monitor {
	return &monitor{
		world: w, limits: defaultLimits(), own: map[string]limits{}, labels: map[string]string{},
		missed: map[string]cluster.Sighting{}, verdict: map[string]cluster.BeatVerdict{},
		told: func(time.Duration, []cluster.Event) {},
	}
}

// node returns the node of a name: "m1" has a host of its own, "h1:5433" is
// the server on that port of h1.
func node(name string) cluster.Node {
	host, text, ok := strings.Cut(name, ":")
	if port, err := strconv.Atoi(text); ok && err == nil {
		return cluster.Node{Host: host, Port: port}
	}
	return cluster.Node{Host: name, Port: 5432}
}

// nameOf is the inverse of node.
func nameOf(n cluster.Node) string { return strings.TrimSuffix(n.String(), ":5432") }

func (m *monitor) moment() cluster.Moment {
	return cluster.Moment{
		Elapsed: m.world.now - m.born - m.slept,
		Wall:    epoch.Add(m.world.now + m.step),
	}
}

func (m *monitor) configured() cluster.Config {
	c := cluster.Config{FailInterval: m.limits.fail, MaxSyncDelay: m.limits.max}
	for _, name := range m.nodes {
		n := cluster.NodeConfig{Node: node(name), ClusterName: m.labels[name], MaxSyncDelay: m.limits.max, RecoverSyncDelay: m.limits.recover}
		if own, ok := m.own[name]; ok {
			n.MaxSyncDelay, n.RecoverSyncDelay, n.OwnLimit = own.max, own.recover, true
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

// start makes a new State, or takes that of the state file, and does its first
// round.
func (m *monitor) start() error {
	m.born, m.slept, m.config = m.world.now, 0, m.configured()
	m.state = cluster.New(m.moment(), m.config)
	if m.saved != nil {
		var err error
		if m.state, err = cluster.Restore(m.moment(), m.config, m.saved); err != nil {
			return err
		}
	}
	m.on, m.nextHeartbeat = true, m.world.now
	m.round(true)
	return nil
}

// stop forgets everything but the world and the state file.
func (m *monitor) stop() {
	m.on, m.state = false, cluster.State{}
}

// save writes the state file as the loop does: at changes, once the start has
// settled.
func (m *monitor) save(events []cluster.Event) {
	if m.keeps && len(events) > 0 && !m.state.Snapshot().Starting {
		m.saved = m.state.Save()
	}
}

// run lets d pass, with the rounds that are due in it.
func (m *monitor) run(d time.Duration) {
	until := m.world.now + d
	for m.on && m.nextRound <= until {
		m.world.advance(m.nextRound)
		m.round(false)
	}
	m.world.advance(until)
}

// suspend lets d pass without a round, as for a stopped process. A machine
// that sleeps stops the monotonic clock too.
func (m *monitor) suspend(d time.Duration, machine bool) {
	m.world.advance(m.world.now + d)
	if machine {
		m.slept += d - 10*time.Millisecond // the moments before and after
	}
	m.nextHeartbeat = m.world.now
	if m.on {
		m.round(false)
	}
}

// reload gives the running State the configuration as it is now.
func (m *monitor) reload() {
	if !m.on {
		return
	}
	r := round{at: m.world.now, begun: m.moment(), ended: m.moment(), reload: true, before: m.state.Snapshot()}
	m.config = m.configured()
	r.config = m.config
	m.state, r.events = m.state.Reconfigure(r.begun, m.config)
	r.after, r.unsettled = m.state.Snapshot(), m.state.Unsettled(r.ended)
	m.save(r.events)
	m.told(r.at, r.events)
	if m.watched != nil {
		m.watched(r)
	}
}

// round does one round now.
func (m *monitor) round(first bool) {
	at, old := m.world.now, m.state
	r := round{at: at, begun: m.moment(), config: m.config, before: old.Snapshot(), first: first, restored: first && m.keeps && m.saved != nil}
	r.seen = m.look()
	m.world.advance(m.world.now + m.lookTakes)
	hooks := m.hooks
	m.hooks = nil
	for _, hook := range hooks {
		hook()
	}
	draft := old.Observe(r.begun, r.seen)
	r.beats = draft.Beats()
	r.sent = m.beat(r.beats)
	m.world.advance(m.world.now + m.beatTakes)
	r.ended = m.moment()
	m.state, r.events = draft.Settle(r.ended, r.sent)
	r.after = m.state.Snapshot()
	r.repeat = func() (cluster.Snapshot, []cluster.Beat, cluster.Snapshot, []cluster.Event) {
		draft := old.Observe(r.begun, r.seen)
		beats := draft.Beats()
		state, events := draft.Settle(r.ended, r.sent)
		draft.Settle(r.ended, nil) // what might have been leaves no trace
		return old.Snapshot(), beats, state.Snapshot(), events
	}
	m.save(r.events)
	m.schedule(at, &r)
	m.told(at, r.events)
	m.told(at, r.heartbeats)
	if m.watched != nil {
		m.watched(r)
	}
}

// schedule says plusmoin_heartbeat if this round was a heartbeat, and when the
// next round is due.
func (m *monitor) schedule(at time.Duration, r *round) {
	if at >= m.nextHeartbeat {
		for m.nextHeartbeat <= m.world.now {
			m.nextHeartbeat += m.limits.heartbeat
		}
		m.state, r.heartbeats = m.state.Heartbeat(r.ended)
	}
	m.nextRound = m.nextHeartbeat
	r.unsettled = m.state.Unsettled(r.ended)
	if r.unsettled {
		soon := at + min(m.limits.heartbeat, time.Second)
		m.nextRound = min(m.nextRound, max(soon, m.world.now))
	}
	if due, ok := m.state.Deadline(); ok && due > r.begun.Elapsed {
		m.nextRound = min(m.nextRound, max(m.born+m.slept+due, m.world.now))
	}
}

func (m *monitor) look() map[cluster.Node]cluster.Sighting {
	seen := map[cluster.Node]cluster.Sighting{}
	for _, n := range m.config.Nodes {
		if s, ok := m.missed[nameOf(n.Node)]; ok {
			seen[n.Node] = s
			continue
		}
		seen[n.Node] = m.world.look(nameOf(n.Node))
	}
	clear(m.missed)
	return seen
}

func (m *monitor) beat(beats []cluster.Beat) map[cluster.Node]cluster.BeatOutcome {
	sent := map[cluster.Node]cluster.BeatOutcome{}
	for _, b := range beats {
		said, ok := m.verdict[nameOf(b.Node)]
		delete(m.verdict, nameOf(b.Node))
		switch {
		case ok && said == cluster.Refused:
			sent[b.Node] = cluster.BeatOutcome{Verdict: said, Reason: cluster.ReasonUnwritable, Error: "canceled: lock timeout"}
		case ok && said == cluster.Unknown:
			m.world.beat(b) // it is written, nobody hears of it
			sent[b.Node] = cluster.BeatOutcome{Verdict: said, Reason: cluster.ReasonTimeout, Error: "timeout"}
		default:
			sent[b.Node] = m.world.beat(b)
		}
	}
	return sent
}
