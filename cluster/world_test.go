package cluster_test

import (
	"fmt"
	"time"

	"plusmoin/cluster"
)

// epoch is what true clocks show when a world begins.
var epoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// world is a handful of PostgreSQL servers in virtual time. It knows nothing
// of plusmoin: it replicates, promotes, dies and answers.
type world struct {
	now     time.Duration // since the world began
	servers []*server     // in the order in which they were made
	names   map[string]*server
	deaf    map[string]bool // names under which the monitor reaches nobody
	made    uint64          // system identifiers given out
	starts  int64           // postmasters started
	writers []*writer
}

type serverState int

const (
	up serverState = iota
	down
	frozen
	starting
)

// server is one data directory and the postmaster on it.
type server struct {
	name     string
	state    serverState
	ready    time.Duration // when a starting server is up
	slave    bool
	readOnly bool
	head     *entry // what is written, or received
	applied  *entry // what queries see
	upstream string // name of the server it follows, "" for none
	cut      bool   // its connection to its upstream is refused
	parted   bool   // nothing passes between it and its upstream, and nobody is told
	running  bool   // its receiver is
	heard    time.Duration
	delay    time.Duration
	paused   bool
	system   uint64
	started  int64          // microseconds since 1970
	hidden   bool           // its role may not see the receiver
	blind    bool           // nor anything else
	barred   cluster.Reason // why it lets no monitor in, "" if it does
	backup   *entry
	poses    *server // whose identity it shows as its own
}

// entry is one step of a write-ahead log and all that went before it. Two
// servers that are promoted from the same entry part for ever.
type entry struct {
	prev     *entry
	n        int
	at       time.Duration
	timeline uint32
	row      *cluster.Row // what the heartbeat table holds now, nil for nothing
	coarse   bool         // the table has no column for microseconds
}

// writer is something else than the monitor that writes the heartbeat row.
type writer struct {
	server *server
	row    cluster.Row // all but the stamp
	every  time.Duration
	next   time.Duration
}

func newWorld() *world {
	return &world{names: map[string]*server{}, deaf: map[string]bool{}}
}

func (w *world) stamp() cluster.Stamp {
	return cluster.Stamp(epoch.Add(w.now).UnixMicro())
}

// add makes a server with an empty data directory.
func (w *world) add(name string) *server {
	s := &server{name: name}
	w.servers = append(w.servers, s)
	w.names[name] = s
	w.initdb(s)
	return s
}

// initdb gives s an empty data directory and starts it as a master.
func (w *world) initdb(s *server) {
	w.made++
	s.system = 7_000_000_000_000_000_000 + w.made
	s.head = &entry{n: 1, at: w.now, timeline: 1}
	s.applied = s.head
	s.slave, s.upstream, s.readOnly, s.paused, s.delay = false, "", false, false, 0
	w.boot(s, 0)
}

// clone gives s a copy of the data directory of from, and leaves it a master.
func (w *world) clone(s, from *server) {
	s.system, s.head, s.applied = from.system, from.applied, from.applied
	w.boot(s, 0)
}

// follow restarts s as a slave of a server. It streams only if its log is a
// part of that server's log.
func (w *world) follow(s *server, upstream string) {
	s.upstream = upstream
	if !s.slave {
		s.slave = true
		w.boot(s, 0)
	}
	w.stream()
}

// rebuild gives s a base backup of from, which it then follows.
func (w *world) rebuild(s, from *server) {
	w.clone(s, from)
	s.slave, s.upstream = true, from.name
	w.stream()
}

func (w *world) boot(s *server, slowly time.Duration) {
	w.starts++
	s.state, s.ready = up, w.now+slowly
	if slowly > 0 {
		s.state = starting
	}
	s.started = epoch.Add(w.now).UnixMicro() + w.starts
	s.running = false
	w.stream()
}

func (w *world) kill(s *server) {
	s.state, s.running = down, false
	w.stream()
}

func (w *world) freeze(s *server) {
	if s.state == up {
		s.state = frozen
	}
}

func (w *world) thaw(s *server) {
	if s.state == frozen {
		s.state = up
	}
	w.stream()
}

// promote makes a master of a slave. What it received it replays first.
func (w *world) promote(s *server) {
	if s.state != up || !s.slave {
		return
	}
	s.slave, s.upstream, s.running, s.paused = false, "", false, false
	s.applied = s.head
	s.write(w.now, func(e *entry) { e.timeline++ })
	w.stream()
}

// write appends an entry to the log of a master.
func (s *server) write(at time.Duration, change func(*entry)) {
	e := *s.head
	e.prev, e.n, e.at = s.head, s.head.n+1, at
	change(&e)
	s.head, s.applied = &e, &e
}

// writeRow puts a row into the heartbeat table of a master.
func (s *server) writeRow(at time.Duration, row cluster.Row) {
	s.write(at, func(e *entry) {
		if e.coarse {
			row.Stamp, row.Coarse = cluster.StampOf(row.Stamp.Seconds(), 0), true
		}
		e.row = &row
	})
}

// advance lets time pass.
func (w *world) advance(to time.Duration) {
	for _, wr := range w.writers {
		for ; wr.next <= to; wr.next += wr.every {
			if wr.server.state != up || wr.server.slave || wr.server.readOnly {
				continue
			}
			row := wr.row
			row.Stamp = cluster.Stamp(epoch.Add(wr.next).UnixMicro())
			wr.server.writeRow(wr.next, row)
		}
	}
	w.now = max(w.now, to)
	for _, s := range w.servers {
		if s.state == starting && s.ready <= w.now {
			s.state = up
		}
	}
	w.stream()
}

// stream replicates whatever can be, through any number of cascades.
func (w *world) stream() {
	for range w.servers {
		for _, s := range w.servers {
			w.receive(s)
		}
	}
	for _, s := range w.servers {
		s.replay(w.now)
	}
}

func (s *server) replay(now time.Duration) {
	if !s.slave || s.paused || s.state != up {
		return
	}
	e := s.head
	for e.n > s.applied.n && e.at+s.delay > now {
		e = e.prev
	}
	s.applied = e
}

// contains says whether the log that ends with e goes through old.
func (e *entry) contains(old *entry) bool {
	for e != nil && e.n > old.n {
		e = e.prev
	}
	return e == old
}

// look answers as the server does that goes by this name now.
func (w *world) look(name string) cluster.Sighting {
	s := w.names[name]
	if s == nil {
		return failed(cluster.ReasonDNS)
	}
	if w.deaf[name] {
		return failed(cluster.ReasonUnreachable)
	}
	switch s.state {
	case down:
		return failed(cluster.ReasonRefused)
	case frozen:
		return failed(cluster.ReasonTimeout)
	case starting:
		return failed(cluster.ReasonStartingUp)
	}
	if s.barred != "" {
		return failed(s.barred)
	}
	seen := cluster.Sighting{Outcome: cluster.Answered, Slave: s.slave, Latency: time.Millisecond}
	if s.applied.row != nil {
		row := *s.applied.row
		row.Stamp = cluster.StampOf(row.Stamp.Seconds(), row.Stamp.Micros())
		seen.Row = &row
	}
	if !s.blind {
		seen.Facts = s.facts()
	}
	return seen
}

func failed(reason cluster.Reason) cluster.Sighting {
	return cluster.Sighting{Outcome: cluster.Failed, Reason: reason, Error: string(reason)}
}

func (s *server) facts() cluster.Facts {
	f := cluster.Facts{
		SystemID: s.system, ServerVersion: 150018, Started: s.started,
		ServerAddr: node(s.name).Host, ServerPort: node(s.name).Port,
		Timeline: s.head.timeline, LSN: cluster.LSN(s.head.n),
	}
	if o := s.poses; o != nil {
		f.SystemID, f.Started, f.ServerPort = o.system, o.started, node(o.name).Port
	}
	if !s.slave {
		f.SyncBlocked = cluster.No
		return f
	}
	f.ReplayLSN = cluster.LSN(s.applied.n)
	f.ReplayPaused = cluster.FlagOf(s.paused)
	if s.hidden {
		return f
	}
	f.Receiver = cluster.Receiver{Known: true, Running: s.running}
	if s.running {
		f.Receiver.Upstream = node(s.upstream).String()
		f.Receiver.LastMessage = epoch.Add(s.heard).UnixMicro()
		f.Receiver.Received = cluster.LSN(s.head.n)
	}
	return f
}

// beat writes a beat as the server does that goes by this name now.
func (w *world) beat(b cluster.Beat) cluster.BeatOutcome {
	name := nameOf(b.Node)
	s := w.names[name]
	switch {
	case s == nil || w.deaf[name] || s.state == down || s.state == starting:
		return cluster.BeatOutcome{Verdict: cluster.Unknown, Reason: cluster.ReasonDisconnected, Error: "disconnected"}
	case s.state == frozen:
		return cluster.BeatOutcome{Verdict: cluster.Unknown, Reason: cluster.ReasonTimeout, Error: "timeout"}
	case s.barred != "":
		return cluster.BeatOutcome{Verdict: cluster.Unknown, Reason: s.barred, Error: string(s.barred)}
	case s.slave || s.readOnly:
		return cluster.BeatOutcome{Verdict: cluster.Refused, Reason: cluster.ReasonUnwritable, Error: "read-only transaction"}
	}
	s.writeRow(w.now, b.Row)
	return cluster.BeatOutcome{Verdict: cluster.Confirmed}
}

// server returns the server that was made under this name.
func (w *world) server(name string) (*server, error) {
	for _, s := range w.servers {
		if s.name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no server %q", name)
}
