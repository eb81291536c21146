package postgres

import (
	"time"

	"plusmoin/cluster"
)

// This file is the part of a connLoop that asks the server: for looks and beats.

// answerLook answers a look: at once if there is a connection, and without one
// when there is. An urgent look does not let the connect wait, and one that failed
// is tried again without a look: the next may decide, and a server that is back by
// then must not fail it because a connect takes a moment.
func (l *connLoop) answerLook(q question, urgent bool) {
	q.remade = l.session == nil
	l.look, l.urgent = q, urgent
	switch {
	case l.session != nil:
		l.ask()
	case urgent || l.backoff.setbacks == 0:
		l.connect(urgent)
	}
}

// hurry lets a look that waits for a connect wait no longer than it must.
func (l *connLoop) hurry() {
	l.urgent = true
	if l.look.number > 0 && l.session == nil {
		l.connect(true)
	}
}

// ask makes the exchange of the look that is to be answered. A kept connection
// that turns out to be dead is made anew, once.
func (l *connLoop) ask() {
	l.asking.Store(l.look.number)
	defer l.asking.Store(0)
	seen, err := l.exchange(l.look.facts)
	switch {
	case lost(err) && !l.look.remade:
		l.log.Debug("kept connection is dead", "node", l.node.String(), "error", classify(err).text)
		l.drop()
		l.look.remade = true
		l.connect(true)
	case late(err):
		l.drop()
		l.setBack()
		l.tell(silent(l.settings.QueryTimeout))
		l.connect(true) // by the next look it may be well again
	case err != nil:
		l.drop()
		l.setBack()
		l.tell(failed(err))
	default:
		l.tell(seen)
	}
}

// exchange looks once, or twice where the facts are wanted after all: a server
// whose role has changed is not what the ones of earlier looks say.
func (l *connLoop) exchange(facts bool) (cluster.Sighting, error) {
	began := time.Now()
	deadline := began.Add(l.settings.patience())
	seen, err := l.session.look(deadline, l.memory.wants(facts, began))
	if err == nil && l.memory.stale(seen) {
		seen, err = l.session.look(deadline, true)
	}
	if err != nil {
		return cluster.Sighting{}, err
	}
	l.backoff.setbacks = 0
	if l.wakes.well() {
		l.log.Warn("drops of a node's connection do not wake any more", "node", l.node.String(), "error", l.wakes.warning(began).text)
	}
	if seen.slowFacts {
		l.log.Info("facts are slow and left out for a while", "node", l.node.String())
	}
	l.memory.take(seen, began)
	if seen.Outcome == cluster.Answered {
		w := l.warning
		if w == (fault{}) {
			w = l.wakes.warning(began)
		}
		seen.Reason, seen.Error = w.reason, w.text
	}
	return seen.Sighting, nil
}

// prove makes the exchange of a look that nobody asked for, on a connection made
// after the node had failed: if it answers, the next look waits for it.
func (l *connLoop) prove() {
	seen, err := l.exchange(true)
	if err != nil {
		l.drop()
		l.setBack()
		return
	}
	if seen.Outcome == cluster.Answered {
		l.tell(seen)
	}
}

func silent(within time.Duration) cluster.Sighting {
	return cluster.Sighting{Outcome: cluster.Failed, Reason: cluster.ReasonTimeout, Error: "no answer within " + within.String()}
}

// tell answers the look that is to be answered; without one it says that the node
// is well again. Where the last answer has not been heard yet, this one takes its
// place, as the answer to the same look: the fleet waits for that.
func (l *connLoop) tell(s cluster.Sighting) {
	if s.Outcome == cluster.Failed {
		l.wakes = wakes{} // it had reason to
	}
	a := answer{l.look.number, s}
	l.look = question{}
	select {
	case unheard := <-l.answers:
		a.number = max(a.number, unheard.number)
	default:
	}
	l.answers <- a
}

// answerBeat answers a beat. Without a connection nothing is sent: the next look
// makes one.
func (l *connLoop) answerBeat(number uint64, row cluster.Row) {
	l.beat = number
	if l.session == nil {
		l.wake()
		l.tellBeat(unsent(wrong{cluster.ReasonDisconnected, "the connection was lost before the beat was sent"}))
		return
	}
	outcome := l.session.beat(row, &l.memory.table, time.Now().Add(l.settings.patience()))
	if outcome.Verdict == cluster.Unknown {
		l.drop()
		l.setBack()
		l.connect(true) // by the next look it may be well again
	}
	l.tellBeat(outcome)
}

func (l *connLoop) tellBeat(o cluster.BeatOutcome) {
	a := beatAnswer{l.beat, o}
	l.beat = 0
	l.beaten <- a
}
