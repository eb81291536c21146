package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"plusmoin/cluster"
)

// connLoop keeps one node's connection. It is one goroutine, which waits on the
// connection while that is idle and on channels while there is none; doc.go has
// its states. The goroutine owns all fields but those that are said to be
// shared; whoever asks never waits for it to take the question.
type connLoop struct {
	*common
	node cluster.Node
	ctx  context.Context // ends when the loop is to

	// Shared with the fleet.
	requests chan func() // done by the goroutine; see post
	bell     bell
	settled  atomic.Pointer[Settings] // new settings that wait to be adopted
	answers  chan answer              // to looks; capacity 1
	beaten   chan beatAnswer          // to beats; capacity 1
	asking   atomic.Uint64            // the look that the server is being asked for; 0 if none

	settings *Settings   // never written to
	session  *session    // nil without a connection
	attempt  *attempt    // nil unless a connect is under way
	way      way         // the attempt's
	renewal  *time.Timer // of the session; nil if there is to be none
	warning  fault       // why the session could not be renewed

	look    question // that is to be answered; number 0 if none is
	beat    uint64   // the number of the beat that is to be answered; 0 if none is
	urgent  bool     // as was the last look: what failed is tried again before the next
	backoff backoff
	wakes   wakes
	memory  memory
	trouble trouble
}

// common is what all loops of a fleet share.
type common struct {
	log     *slog.Logger
	slots   *slots
	dropped chan<- struct{}
	// establish makes a session, see there.
	establish func(ctx, life context.Context, s Settings, n cluster.Node, w *way) (*session, error)
}

// question asks for a look.
type question struct {
	number uint64
	facts  bool
	remade bool // it has already lost a kept connection, or had none
}

// answer is what a look gave. One without a number was not asked for: the node is
// well again.
type answer struct {
	number uint64
	cluster.Sighting
}

// beatAnswer is what became of a beat.
type beatAnswer struct {
	number uint64
	cluster.BeatOutcome
}

// requestsAtOnce is more than there can be: a look, that it is urgent, the same
// look again for its facts, a beat, new settings, a renewal and one that came too
// late.
const requestsAtOnce = 8

func newConnLoop(ctx context.Context, n cluster.Node, s *Settings, c *common) *connLoop {
	return &connLoop{
		common: c, node: n, ctx: ctx,
		requests: make(chan func(), requestsAtOnce),
		answers:  make(chan answer, 1), beaten: make(chan beatAnswer, 1),
		settings: s,
	}
}

// post lets the goroutine do something as soon as it is idle. It does not wait.
func (l *connLoop) post(do func()) {
	l.requests <- do
	l.bell.ring()
}

// settle lets the goroutine adopt settings.
func (l *connLoop) settle(s *Settings) {
	if l.settled.Swap(s) == nil {
		l.post(l.adopt)
	}
}

// run serves the node until the context ends.
func (l *connLoop) run() {
	defer l.leave()
	for l.ctx.Err() == nil {
		l.step()
	}
}

// step waits for one thing and does it. A panic ends only that.
func (l *connLoop) step() {
	defer func() {
		if p := recover(); p != nil {
			l.broken(internal(p))
		}
	}()
	if l.session == nil {
		l.await()
	} else {
		l.idle()
	}
}

// await waits without a connection and does one thing.
func (l *connLoop) await() {
	var due <-chan time.Time
	again := l.urgent && l.backoff.setbacks > 0 && l.settings.Heartbeat > 0
	if l.attempt == nil && (l.look.number > 0 || again) {
		due = time.After(time.Until(l.backoff.until))
	}
	select {
	case <-l.ctx.Done():
	case do := <-l.requests:
		do()
	case c := <-l.arrival():
		l.arrived(c)
	case <-due:
		l.connect(l.urgent)
	}
}

// idle waits on the connection and does one thing, or finds that there is
// something to be done: a bell that rang only ends the wait.
func (l *connLoop) idle() {
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
	case err == nil: // the loop ends
	case !errors.Is(err, os.ErrDeadlineExceeded):
		l.interrupted(err)
	}
}

// next returns what is there to be done, nil if there is nothing.
func (l *connLoop) next() func() {
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
func (l *connLoop) interrupted(err error) {
	l.log.Debug("connection dropped", "node", l.node.String(), "error", classify(err).text)
	l.drop()
	l.alarm()
}

// alarm wakes the monitor, unless the node has lost the right to.
func (l *connLoop) alarm() {
	if l.wakes.drop(time.Now()) {
		l.wake()
	}
}

// wake says that a kept connection dropped; many drops are said once.
func (l *connLoop) wake() {
	if l.ctx.Err() != nil {
		return
	}
	select {
	case l.dropped <- struct{}{}:
	default:
	}
}

// broken takes in that a panic ended what the loop did. Nothing is known of the
// session any more; what was to be answered failed; and the node goes on.
func (l *connLoop) broken(err *internalError) {
	l.bell.takeDown()
	l.asking.Store(0)
	l.report(err)
	if l.session != nil {
		l.session.conn.dead = true
		l.drop()
	}
	l.setBack()
	f := classify(err)
	if l.beat > 0 {
		l.tellBeat(cluster.BeatOutcome{Reason: f.reason, Error: f.text})
	}
	if l.look.number > 0 {
		l.tell(failed(err))
		return
	}
	l.alarm()
}

// trouble is the last error inside plusmoin and when it was logged.
type trouble struct {
	text string
	at   time.Time
}

// troublePause is for how long the same error is not logged again: a server that
// can cause it can do so at every look.
const troublePause = time.Hour

// report logs an error inside plusmoin with its stack.
func (l *connLoop) report(err *internalError) {
	if l.trouble.text == err.text && time.Since(l.trouble.at) < troublePause {
		l.log.Debug("internal error again", "node", l.node.String(), "error", err.text)
		return
	}
	l.trouble = trouble{err.text, time.Now()}
	l.log.Error("internal error, the connection is made anew", "node", l.node.String(), "error", err.text, "stack", err.stack)
}

// internalError is a panic.
type internalError struct {
	text  string
	stack string
}

// internal returns the error for what recover gave. It must be called while the
// stack is there.
func internal(p any) *internalError {
	return &internalError{fmt.Sprintf("internal error: %v", p), string(debug.Stack())}
}

func (e *internalError) Error() string { return e.text }

// Unwrap gives what the node is said to have answered.
func (e *internalError) Unwrap() error { return wrong{cluster.ReasonBadAnswer, e.text} }

// leave frees all that the loop holds.
func (l *connLoop) leave() {
	l.abandon()
	l.drop()
}

// drop closes the session, if there is one.
func (l *connLoop) drop() {
	if l.session == nil {
		return
	}
	s := l.session
	l.session = nil
	l.schedule(0)
	l.memory.forgetFacts()
	s.close()
}

// adopt takes new settings into use. The role is asked for by the new
// statement from now on, whenever the connection comes to be renewed.
func (l *connLoop) adopt() {
	s := l.settled.Swap(nil)
	l.abandon()
	if l.session != nil && s.IsSlaveStatement != l.settings.IsSlaveStatement {
		l.session.setRole(s.IsSlaveStatement)
	}
	l.settings, l.backoff.setbacks = s, 0
	if l.session != nil || l.look.number > 0 {
		l.connect(true)
	}
}
