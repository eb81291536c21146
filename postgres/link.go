package postgres

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"plusmoin/cluster"
)

// link keeps one node's connection. Its goroutine owns all of it but the
// channels, by which it is asked and answers; whoever asks never waits for it
// to take the question.
type link struct {
	node cluster.Node
	log  *slog.Logger
	free slots
	ctx  context.Context // ends when the link is to

	looks   chan struct{}    // a look is wanted; capacity 1, as all of these
	beats   chan cluster.Row // this beat is wanted
	settled chan Settings    // new settings
	sights  chan sight       // the answer to a look
	beaten  chan cluster.BeatOutcome
	dropped chan<- struct{} // the fleet's
	asking  atomic.Bool     // an exchange is under way, rather than a connect

	settings Settings
	session  *session   // nil without a connection
	heard    chan error // how listening on the session ended; nil while nobody listens
	attempt  *attempt   // nil unless a connect is under way
	renewal  *time.Timer
	warning  fault // why the session could not be renewed

	wanted   bool // a look waits for the connect
	retried  bool // that look has already lost a kept connection
	table    table
	timeline uint32    // that the WAL receiver was last on
	systemID uint64    // of the server that timeline is of
	factsAt  time.Time // before then, facts are left out: they were slow
}

// sight is a sighting with the time at which its exchange began.
type sight struct {
	cluster.Sighting
	began time.Time
}

// attempt is one connect under way.
type attempt struct {
	cancel context.CancelFunc
	done   chan connected // capacity 1
}

type connected struct {
	session *session
	err     error
}

const (
	// Facts that were slow are not asked for again before this time is over.
	factsPause = time.Minute
	// A renewal that failed is tried again after half to all of this time.
	renewalPause = 10 * time.Second
)

func newLink(ctx context.Context, n cluster.Node, s Settings, free slots, dropped chan<- struct{}, log *slog.Logger) *link {
	renewal := time.NewTimer(time.Hour)
	renewal.Stop()
	return &link{
		node: n, log: log.With("node", n.String()), free: free, ctx: ctx,
		looks: make(chan struct{}, 1), beats: make(chan cluster.Row, 1), settled: make(chan Settings, 1),
		sights: make(chan sight, 1), beaten: make(chan cluster.BeatOutcome, 1), dropped: dropped,
		settings: s, renewal: renewal,
	}
}

// run serves the link until its context ends.
func (l *link) run() {
	defer l.leave()
	for {
		var arrival chan connected
		if l.attempt != nil {
			arrival = l.attempt.done
		}
		select {
		case <-l.ctx.Done():
			return
		case <-l.looks:
			l.look()
		case row := <-l.beats:
			l.beat(row)
		case s := <-l.settled:
			l.adopt(s)
		case c := <-arrival:
			l.arrived(c)
		case err := <-l.heard:
			l.heard = nil
			l.interrupted(err)
		case <-l.renewal.C:
			l.connect()
		}
	}
}

// leave frees all that the link holds.
func (l *link) leave() {
	l.renewal.Stop()
	l.abandon()
	l.drop()
}

// abandon gives up the connect under way and waits for it to have ended.
func (l *link) abandon() {
	if l.attempt == nil {
		return
	}
	l.attempt.cancel()
	if c := <-l.attempt.done; c.session != nil {
		c.session.close()
	}
	l.attempt = nil
}

// look answers a look, at once if there is a connection.
func (l *link) look() {
	l.wanted, l.retried = true, false
	if l.hush() {
		l.ask()
		return
	}
	l.retried = true
	l.connect()
}

// ask makes the exchange of the look that is wanted. A kept connection that
// turns out to be dead is made anew, once.
func (l *link) ask() {
	began := time.Now()
	l.asking.Store(true)
	defer l.asking.Store(false)
	v, err := l.session.look(began.Add(l.settings.patience()), !began.Before(l.factsAt))
	switch {
	case lost(err) && !l.retried:
		l.log.Debug("kept connection is dead", "error", classify(err).text)
		l.drop()
		l.retried = true
		l.connect()
		return
	case late(err):
		l.drop()
		v.sighting = silent(l.settings.QueryTimeout)
	case err != nil:
		l.drop()
		v.sighting = failed(err)
	default:
		l.remember(&v)
		l.listen()
	}
	l.tell(sight{v.sighting, began})
}

func silent(within time.Duration) cluster.Sighting {
	return cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonTimeout, Error: "no answer within " + within.String()}
}

// remember keeps of a view what later looks and beats need, and completes it
// with what earlier ones gave.
func (l *link) remember(v *view) {
	if v.slowFacts {
		l.factsAt = time.Now().Add(factsPause)
		l.log.Info("facts are slow and left out for a while")
	}
	seen := &v.sighting
	if seen.Outcome != cluster.Answered {
		return
	}
	seen.Reason, seen.Error = l.warning.reason, l.warning.text
	l.table = v.table
	facts := &seen.Facts
	if facts.SystemID != l.systemID {
		l.systemID, l.timeline = facts.SystemID, 0
	}
	// A receiver that is gone takes its timeline with it.
	if v.walTLI != 0 {
		l.timeline = v.walTLI
	}
	if facts.Timeline == 0 && seen.Slave {
		facts.Timeline = l.timeline
	}
}

func (l *link) tell(s sight) {
	l.wanted = false
	l.sights <- s
}

// beat answers a beat. Without a connection nothing is sent: the next look
// makes one.
func (l *link) beat(row cluster.Row) {
	if !l.hush() {
		l.wake()
		l.beaten <- unsent(wrong{cluster.ReasonDisconnected, "the connection was lost before the beat was sent"})
		return
	}
	outcome := l.session.beat(row, &l.table, time.Now().Add(l.settings.patience()))
	if outcome.Verdict == cluster.Unknown {
		l.drop()
	} else {
		l.listen()
	}
	l.beaten <- outcome
}

// listen watches the idle connection, so that its end is heard at once.
func (l *link) listen() {
	if l.session == nil {
		return
	}
	if l.session.conn.IsClosed() {
		l.drop()
		return
	}
	heard := make(chan error, 1)
	l.heard = heard
	conn := l.session.conn
	go func() { heard <- conn.WaitForNotification(context.Background()) }()
}

// hush stops listening and tells whether there is a connection to use.
func (l *link) hush() bool {
	if l.session == nil {
		return false
	}
	if l.heard != nil {
		l.session.raw.SetReadDeadline(past())
		err := <-l.heard
		l.heard = nil
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			l.drop()
			return false
		}
	}
	return true
}

// interrupted takes in how listening ended by itself.
func (l *link) interrupted(err error) {
	if err == nil { // somebody's notification
		l.listen()
		return
	}
	l.log.Debug("connection dropped", "error", classify(err).text)
	l.drop()
	l.wake()
}

// wake says that a kept connection dropped; many drops are said once.
func (l *link) wake() {
	if l.ctx.Err() != nil {
		return
	}
	select {
	case l.dropped <- struct{}{}:
	default:
	}
}

// drop closes the session, if there is one.
func (l *link) drop() {
	if l.session == nil {
		return
	}
	s, heard := l.session, l.heard
	l.session, l.heard = nil, nil
	l.renewal.Stop()
	if heard != nil {
		s.raw.SetReadDeadline(past())
		<-heard //nolint:errcheck // it ended because of us
	}
	s.close()
}

// connect starts a connect unless one is under way.
func (l *link) connect() {
	if l.attempt != nil {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	a := &attempt{cancel: cancel, done: make(chan connected, 1)}
	l.attempt = a
	settings := l.settings
	go func() {
		s, err := connect(ctx, l.ctx, settings, l.node, l.free)
		a.done <- connected{s, err}
	}()
}

// arrived takes in how a connect ended.
func (l *link) arrived(c connected) {
	l.attempt.cancel()
	l.attempt = nil
	switch {
	case c.err == nil:
		l.drop()
		l.session, l.warning = c.session, fault{}
		l.schedule(l.settings.ConnectionLifetime)
	case l.session != nil:
		l.notRenewed(c.err)
		return
	}
	switch {
	case l.wanted && c.err != nil:
		l.tell(sight{l.unconnected(c.err), time.Now()})
	case l.wanted:
		l.retried = true
		l.ask()
	default:
		l.listen()
	}
}

func (l *link) unconnected(err error) cluster.Sighting {
	s := failed(err)
	if late(err) {
		s.Error = "no connection within " + l.settings.ConnectTimeout.String()
	}
	return s
}

// notRenewed keeps the old connection and shows why there is no new one, but
// lets go of a server that is shutting down: it may be waiting for us.
func (l *link) notRenewed(err error) {
	if goingDown(err) {
		l.drop()
		l.wake()
		return
	}
	f := classify(err)
	if l.warning.reason != f.reason {
		l.log.Warn("connection cannot be renewed, the old one is kept", "reason", f.reason, "error", f.text)
	}
	l.warning = f
	l.schedule(renewalPause)
}

// schedule sets the renewal of the connection, at a random time so that the
// renewals of many nodes do not come together.
func (l *link) schedule(within time.Duration) {
	l.renewal.Stop()
	if l.settings.ConnectionLifetime == 0 && l.warning == (fault{}) {
		return
	}
	l.renewal.Reset(within/2 + rand.N(within/2+1))
}

// adopt takes new settings into use. The role is asked for by the new
// statement from now on, whenever the connection comes to be renewed.
func (l *link) adopt(s Settings) {
	l.abandon()
	if l.session != nil && s.IsSlaveStatement != l.settings.IsSlaveStatement {
		l.session.setRole(s.IsSlaveStatement)
	}
	l.settings = s
	if l.session != nil || l.wanted {
		l.connect()
	}
}
