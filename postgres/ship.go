package postgres

import (
	"context"
	"time"

	"plusmoin/cluster"
)

// ship is what the fleet itself knows of a node.
type ship struct {
	*link
	cancel  context.CancelFunc
	looking bool  // a look was asked for and not answered
	hurried bool  // and it is known to be urgent
	fresh   bool  // it was asked for in this round
	beating bool  // a beat was asked for and not answered
	failing bool  // it is not waited for
	last    fault // why it failed last
}

// ask asks for a look unless one is still under way, which may become urgent.
// An answer that came since the last round is not used but shows that the node
// can be waited for.
func (s *ship) ask(urgent bool) {
	s.catchUp()
	s.fresh = !s.looking
	switch {
	case !s.looking:
		s.looking, s.hurried = true, urgent
		s.post(func() { s.look(urgent) })
	case urgent && !s.hurried:
		s.hurried = true
		s.post(s.hurry)
	}
}

func (s *ship) catchUp() {
	select {
	case seen := <-s.sights:
		s.take(seen)
	default:
	}
	select {
	case <-s.beaten:
		s.beating = false
	default:
	}
	if s.well.Swap(false) {
		s.failing = false
	}
}

// take notes the answer to a look.
func (s *ship) take(seen *sight) cluster.Sighting {
	s.looking = false
	s.failing = seen.Outcome != cluster.Answered
	s.last = fault{}
	if s.failing {
		s.last = fault{seen.Reason, seen.Error}
	}
	return seen.Sighting
}

// hear waits for the answer to a look until ctx ends, and takes one that is
// there even then: other nodes may have used up the time. If the whole round
// was cancelled, that says nothing of the node.
func (s *ship) hear(within, round context.Context, patience time.Duration) cluster.Sighting {
	select {
	case seen := <-s.sights:
		return s.take(seen)
	case <-within.Done():
	}
	select {
	case seen := <-s.sights:
		return s.take(seen)
	default:
	}
	s.failing = round.Err() == nil
	if s.failing && s.asking.Load() {
		return s.mute(patience)
	}
	return s.connecting()
}

// mute is the sighting of a node that was asked and has not answered, though
// its own deadline may be a moment later.
func (s *ship) mute(within time.Duration) cluster.Sighting {
	sighting := silent(within)
	s.last = fault{sighting.Reason, sighting.Error}
	return sighting
}

// glance returns the answer of a node that is not waited for, if it is there by
// the end of a moment and from this round. One that was asked in an earlier round
// is given the moment only if it is urgent: what becomes of it is decided by this
// look, and it may be the first since this process could hear anything.
func (s *ship) glance(moment context.Context, began time.Time) cluster.Sighting {
	var seen *sight
	if s.fresh || s.hurried {
		select {
		case seen = <-s.sights:
		case <-moment.Done():
		}
	}
	if seen == nil {
		select {
		case seen = <-s.sights:
		default:
			return s.connecting()
		}
	}
	sighting := s.take(seen)
	if seen.Outcome == cluster.Answered && seen.began.Before(began) {
		return s.connecting()
	}
	return sighting
}

func (s *ship) connecting() cluster.Sighting {
	reason := s.last.reason
	if reason == cluster.NoReason {
		reason = cluster.ReasonConnecting
	}
	return cluster.Sighting{Outcome: cluster.Connecting, Reason: reason, Error: s.last.text}
}

// askBeat asks for a beat and returns false if one is still under way.
func (s *ship) askBeat(row cluster.Row) bool {
	s.catchUp()
	if s.beating {
		return false
	}
	s.beating = true
	s.post(func() { s.beat(row) })
	return true
}

// awaitBeat waits for what becomes of a beat until ctx ends, and takes an
// outcome that is there even then. A node that refuses its beat still answers,
// and the next look waits for it; one that does not say what became of it is
// not waited for.
func (s *ship) awaitBeat(within, round context.Context) cluster.BeatOutcome {
	select {
	case outcome := <-s.beaten:
		return s.settleBeat(outcome)
	case <-within.Done():
	}
	select {
	case outcome := <-s.beaten:
		return s.settleBeat(outcome)
	default:
	}
	if round.Err() != nil {
		return cluster.BeatOutcome{Error: "the round was cancelled"}
	}
	s.failing, s.last = true, fault{cluster.ReasonTimeout, "no answer to the beat in time"}
	return cluster.BeatOutcome{Reason: s.last.reason, Error: s.last.text}
}

func (s *ship) settleBeat(outcome cluster.BeatOutcome) cluster.BeatOutcome {
	s.beating = false
	if outcome.Verdict == cluster.Unknown {
		s.failing, s.last = true, fault{outcome.Reason, outcome.Error}
	}
	return outcome
}
