package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"plusmoin/cluster"
)

// This file is the part of a connLoop that makes connections: the first one,
// those that take the place of a lost one, and renewals.

// attempt is one connect under way.
type attempt struct {
	patient bool
	begun   atomic.Bool // it has its slot
	cancel  context.CancelFunc
	done    chan connected // capacity 1
}

// backoff puts off the connects to a node that stays down.
type backoff struct {
	setbacks int // since the node answered last
	until    time.Time
}

type connected struct {
	session *session
	err     error
}

const (
	// A renewal that failed is tried again after half to all of this time.
	renewalPause = 10 * time.Second
	// A connect that failed once is put off by half to all of this time,
	// unless it is urgent, and twice that with each further setback, but never
	// by more than a heartbeat.
	firstPause = 250 * time.Millisecond
)

// connect starts a connect unless one is under way. One that is patient and
// has no slot yet is replaced by an urgent one.
func (l *connLoop) connect(urgent bool) {
	if l.attempt != nil {
		if !urgent || !l.attempt.patient || l.attempt.begun.Load() {
			return
		}
		l.abandon()
	}
	ctx, cancel := context.WithCancel(l.ctx)
	a := &attempt{patient: !urgent, cancel: cancel, done: make(chan connected, 1)}
	l.attempt = a
	settings := l.settings
	go func() {
		s, err := a.make(ctx, l.ctx, *settings, l.node, l.common, &l.way)
		a.done <- connected{s, err}
		l.bell.ring()
	}()
}

// make waits for a slot and makes a session. The time that the settings give a
// connect begins when it has the slot.
func (a *attempt) make(ctx, life context.Context, s Settings, n cluster.Node, c *common, w *way) (made *session, err error) {
	slot, err := c.slots.take(ctx, n.Host, !a.patient, s.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	defer func() {
		// What the connect held goes with its memory.
		if p := recover(); p != nil {
			made, err = nil, internal(p)
		}
		slot.done(err)
	}()
	a.begun.Store(true)
	return c.establish(slot.in(ctx), life, s, n, w)
}

// abandon gives up the connect under way and waits for it to have ended. One
// that did connect is closed.
func (l *connLoop) abandon() {
	if l.attempt == nil {
		return
	}
	l.attempt.cancel()
	if c := <-l.attempt.done; c.session != nil {
		c.session.close()
	}
	l.attempt = nil
}

// arrival returns where a connect under way says how it ended.
func (l *connLoop) arrival() <-chan connected {
	if l.attempt == nil {
		return nil
	}
	return l.attempt.done
}

// arrived takes in how a connect ended. The old connection goes only when the
// new one is there.
func (l *connLoop) arrived(c connected) {
	l.attempt.cancel()
	l.attempt = nil
	var broken *internalError
	if errors.As(c.err, &broken) {
		l.report(broken)
	}
	switch {
	case c.err == nil:
		l.drop()
		l.session, l.warning = c.session, fault{}
		l.schedule(l.settings.ConnectionLifetime)
	case l.session != nil:
		l.notRenewed(c.err)
		return
	default:
		l.setBack()
	}
	switch {
	case l.look.number > 0 && c.err != nil:
		l.tell(l.unconnected(c.err))
	case l.look.number > 0:
		l.look.remade = true
		l.ask()
	case c.err == nil && l.backoff.setbacks > 0:
		l.prove()
	}
}

// unconnected is the sighting of a node to which a connect failed.
func (l *connLoop) unconnected(err error) cluster.Sighting {
	s := failed(err)
	if late(err) {
		s.Error = "no connection within " + l.settings.ConnectTimeout.String()
	}
	return s
}

// setBack notes that the node could not be connected to or did not answer, and
// puts the next connect off.
func (l *connLoop) setBack() {
	l.backoff.setbacks++
	l.backoff.until = time.Now().Add(spread(backOff(l.backoff.setbacks, l.settings.Heartbeat)))
}

// backOff is the longest time by which the connect after so many setbacks is
// put off.
func backOff(setbacks int, heartbeat time.Duration) time.Duration {
	pause := firstPause
	for range min(setbacks, 20) - 1 {
		pause *= 2
	}
	return min(pause, heartbeat)
}

// spread returns a random time from half of d to all of it, so that what falls
// due at many nodes together does not come together again.
func spread(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// renew makes a connection that is to take the place of the one there is.
func (l *connLoop) renew() {
	if l.session != nil {
		l.connect(true)
	}
}

// notRenewed keeps the old connection and shows why there is no new one, but
// lets go of a server that is shutting down: it may be waiting for us.
func (l *connLoop) notRenewed(err error) {
	if goingDown(err) {
		l.drop()
		l.wake()
		return
	}
	f := classify(err)
	if l.warning.reason != f.reason {
		l.log.Warn("connection cannot be renewed, the old one is kept",
			"node", l.node.String(), "reason", f.reason, "error", f.text)
	}
	l.warning = f
	l.schedule(renewalPause)
}

// schedule sets when the connection is to be renewed: within that time, and
// never if it is 0. It is no deadline of the connection: the runtime would wake
// for every earlier one that an exchange has set and taken back.
func (l *connLoop) schedule(within time.Duration) {
	if l.renewal != nil {
		l.renewal.Stop()
		l.renewal = nil
	}
	if within > 0 {
		l.renewal = time.AfterFunc(spread(within), func() { l.post(l.renew) })
	}
}
