package postgres

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"plusmoin/cluster"
)

// link keeps one node's connection. It is one goroutine, which waits on the
// connection while that is idle and on channels while there is none. The
// goroutine owns all fields but those that are said to be shared; whoever asks
// never waits for it to take the question.
type link struct {
	node cluster.Node
	log  *slog.Logger
	pool pool
	ctx  context.Context // ends when the link is to

	// Shared with the fleet.
	requests chan func() // done by the goroutine; see post
	bell     bell
	settled  atomic.Pointer[Settings] // new settings that wait to be adopted
	sights   chan *sight              // the answer to a look; capacity 1
	beaten   chan cluster.BeatOutcome // the answer to a beat; capacity 1
	dropped  chan<- struct{}          // the fleet's
	asking   atomic.Bool              // an exchange is under way, rather than a connect
	well     atomic.Bool              // the node has answered since it failed, though no look asked

	settings *Settings   // never written to
	session  *session    // nil without a connection
	attempt  *attempt    // nil unless a connect is under way
	way      way         // the attempt's
	renewal  *time.Timer // of the session; nil if there is to be none
	warning  fault       // why the session could not be renewed

	wanted    bool // a look waits for a connect
	eager     bool // the last look was urgent: what failed is tried again before the next
	retried   bool // that look has already lost a kept connection
	setbacks  int  // since the node answered last
	retry     time.Time
	table     table
	timeline  uint32    // that the WAL receiver was last on
	systemID  uint64    // of the server that timeline is of
	factsFrom time.Time // before then, facts are left out: they were slow
}

const (
	// Facts that were slow are not asked for again before this time is over.
	factsPause = time.Minute
	// requestsAtOnce is more than there can be: a look, twice that it is
	// urgent, a beat, new settings, a renewal and one that came too late.
	requestsAtOnce = 8
)

func newLink(ctx context.Context, n cluster.Node, s *Settings, p pool, dropped chan<- struct{}, log *slog.Logger) *link {
	return &link{
		node: n, log: log, pool: p, ctx: ctx,
		requests: make(chan func(), requestsAtOnce),
		sights:   make(chan *sight, 1), beaten: make(chan cluster.BeatOutcome, 1), dropped: dropped,
		settings: s,
	}
}

// post lets the goroutine do something as soon as it is idle. It does not wait.
func (l *link) post(do func()) {
	l.requests <- do
	l.bell.ring()
}

// settle lets the goroutine adopt settings.
func (l *link) settle(s *Settings) {
	if l.settled.Swap(s) == nil {
		l.post(l.adopt)
	}
}

// run serves the link until its context ends.
func (l *link) run() {
	defer l.leave()
	for l.ctx.Err() == nil {
		if l.session == nil {
			l.await()
		} else {
			l.idle()
		}
	}
}

// await waits without a connection and does one thing.
func (l *link) await() {
	var due <-chan time.Time
	again := l.eager && l.setbacks > 0 && l.settings.Heartbeat > 0
	if l.attempt == nil && (l.wanted || again) {
		due = time.After(time.Until(l.retry))
	}
	select {
	case <-l.ctx.Done():
	case do := <-l.requests:
		do()
	case c := <-l.arrival():
		l.arrived(c)
	case <-due:
		l.connect(l.eager)
	}
}

// idle waits on the connection and does one thing, or finds that there is
// something to be done: a bell that rang only ends the wait.
func (l *link) idle() {
	s := l.session
	if s.conn.dead {
		l.drop()
		return
	}
	l.bell.hang(s.raw)
	do := l.next()
	var err error
	if do == nil && l.ctx.Err() == nil { // its end moves the deadline like a bell
		err = s.conn.listen()
	}
	l.bell.takeDown()
	switch {
	case do != nil:
		do()
	case err == nil: // the link ends
	case !errors.Is(err, os.ErrDeadlineExceeded):
		l.interrupted(err)
	}
}

// next returns what is there to be done, nil if there is nothing.
func (l *link) next() func() {
	select {
	case do := <-l.requests:
		return do
	case c := <-l.arrival():
		return func() { l.arrived(c) }
	default:
		return nil
	}
}

// interrupted takes in that the idle connection ended.
func (l *link) interrupted(err error) {
	l.log.Debug("connection dropped", "node", l.node.String(), "error", classify(err).text)
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

// leave frees all that the link holds.
func (l *link) leave() {
	l.abandon()
	l.drop()
}

// drop closes the session, if there is one.
func (l *link) drop() {
	if l.session == nil {
		return
	}
	l.session.close()
	l.session = nil
	l.schedule(0)
}

// look answers a look: at once if there is a connection, and without one when
// there is. An urgent look does not let the connect wait, and one that failed is
// tried again without a look: the next may decide, and a server that is back by
// then must not fail it because a connect takes a moment.
func (l *link) look(urgent bool) {
	l.wanted, l.retried, l.eager = true, l.session == nil, urgent
	switch {
	case l.session != nil:
		l.ask()
	case urgent || l.setbacks == 0:
		l.connect(urgent)
	}
}

// ask makes the exchange of the look that is wanted. A kept connection that
// turns out to be dead is made anew, once.
func (l *link) ask() {
	began := time.Now()
	l.asking.Store(true)
	defer l.asking.Store(false)
	seen, err := l.session.look(began.Add(l.settings.patience()), !began.Before(l.factsFrom))
	switch {
	case lost(err) && !l.retried:
		l.log.Debug("kept connection is dead", "node", l.node.String(), "error", classify(err).text)
		l.drop()
		l.retried = true
		l.connect(true)
		return
	case late(err):
		l.drop()
		l.setBack()
		seen = &sight{Sighting: silent(l.settings.QueryTimeout)}
	case err != nil:
		l.drop()
		l.setBack()
		seen = &sight{Sighting: failed(err)}
	default:
		l.remember(seen)
	}
	seen.began = began
	l.tell(seen)
	if late(err) {
		l.connect(true) // by the next look it may be well again
	}
}

// prove makes the exchange of a look that nobody asked for, on a connection made
// after the node had failed: if it answers, the next look waits for it.
func (l *link) prove() {
	seen, err := l.session.look(time.Now().Add(l.settings.patience()), true)
	if err != nil {
		l.drop()
		l.setBack()
		return
	}
	l.remember(seen)
	l.well.Store(seen.Outcome == cluster.Answered)
}

func silent(within time.Duration) cluster.Sighting {
	return cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonTimeout, Error: "no answer within " + within.String()}
}

// remember keeps of a look what later looks and beats need, and completes it
// with what earlier ones gave.
func (l *link) remember(seen *sight) {
	l.setbacks = 0
	if seen.slowFacts {
		l.factsFrom = time.Now().Add(factsPause)
		l.log.Info("facts are slow and left out for a while", "node", l.node.String())
	}
	if seen.Outcome != cluster.Answered {
		return
	}
	seen.Reason, seen.Error = l.warning.reason, l.warning.text
	l.table = seen.table
	facts := &seen.Facts
	if facts.SystemID != l.systemID {
		l.systemID, l.timeline = facts.SystemID, 0
	}
	// A receiver that is gone takes its timeline with it.
	if seen.walTLI != 0 {
		l.timeline = seen.walTLI
	}
	if facts.Timeline == 0 && seen.Slave {
		facts.Timeline = l.timeline
	}
}

func (l *link) tell(s *sight) {
	l.wanted = false
	l.sights <- s
}

// beat answers a beat. Without a connection nothing is sent: the next look
// makes one.
func (l *link) beat(row cluster.Row) {
	if l.session == nil {
		l.wake()
		l.beaten <- unsent(wrong{cluster.ReasonDisconnected, "the connection was lost before the beat was sent"})
		return
	}
	outcome := l.session.beat(row, &l.table, time.Now().Add(l.settings.patience()))
	if outcome.Verdict == cluster.Unknown {
		l.drop()
		l.setBack()
		l.connect(true) // by the next look it may be well again
	}
	l.beaten <- outcome
}

// adopt takes new settings into use. The role is asked for by the new
// statement from now on, whenever the connection comes to be renewed.
func (l *link) adopt() {
	s := l.settled.Swap(nil)
	l.abandon()
	if l.session != nil && s.IsSlaveStatement != l.settings.IsSlaveStatement {
		l.session.setRole(s.IsSlaveStatement)
	}
	l.settings, l.setbacks = s, 0
	if l.session != nil || l.wanted {
		l.connect(true)
	}
}
