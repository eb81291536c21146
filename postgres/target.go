package postgres

import (
	"context"

	"plusmoin/cluster"
)

// target is what the fleet itself knows of a node. It belongs to the goroutine
// that looks.
type target struct {
	*connLoop
	cancel  context.CancelFunc
	open    asked  // the look that was asked for and not answered
	beating uint64 // the number of the beat that was sent and not answered; 0 if none
	failing bool   // it is not waited for
	last    fault  // why it failed last
}

// asked is a look that a target owes an answer to.
type asked struct {
	number uint64 // 0: none
	urgent bool   // and the loop knows
	failed bool   // that it failed was told when it was over
}

// begin asks for a look unless one is still under way, which may become urgent.
// An answer that came since the last round is not used but shows that the node
// can be waited for.
func (t *target) begin(q question, urgent bool) {
	t.catchUp()
	switch {
	case t.open.number == 0:
		t.ask(q, urgent)
	case urgent && !t.open.urgent:
		t.open.urgent = true
		t.post(t.hurry)
	}
}

func (t *target) ask(q question, urgent bool) {
	t.open = asked{number: q.number, urgent: urgent}
	t.post(func() { t.answerLook(q, urgent) })
}

// catchUp takes in what came since the last round. That a node failed to answer
// an earlier look is known, or was forgiven.
func (t *target) catchUp() {
	if a, ok := t.now(); ok {
		t.close(a)
		t.failing = t.failing && a.Outcome != cluster.Answered
	}
	select {
	case <-t.beaten:
		t.beating = 0
	default:
	}
}

// close notes that the answer to a look is there, and why the node failed if it
// did.
func (t *target) close(a answer) {
	if a.number == t.open.number {
		t.open = asked{}
	}
	t.last = fault{}
	if a.Outcome != cluster.Answered {
		t.last = fault{a.Reason, a.Error}
	}
}

// take makes the sighting of an answer.
func (t *target) take(a answer) cluster.Sighting {
	t.close(a)
	t.failing = a.Outcome != cluster.Answered
	return a.Sighting
}

// receive waits for an answer until ctx ends, and takes one that is there even
// then: other nodes may have used up the time.
func (t *target) receive(ctx context.Context) (answer, bool) {
	select {
	case a := <-t.answers:
		return a, true
	case <-ctx.Done():
	}
	return t.now()
}

// now returns an answer that is there.
func (t *target) now() (answer, bool) {
	select {
	case a := <-t.answers:
		return a, true
	default:
		return answer{}, false
	}
}

// await waits for the answer to the look of a round. One to an earlier look says
// nothing of now, and the node is asked again.
func (t *target) await(r *round) cluster.Sighting {
	for {
		a, ok := t.receive(r.within)
		switch {
		case !ok:
			return t.mute(r)
		case a.number == r.number:
			return t.take(a)
		}
		if t.close(a); t.open.number == 0 {
			t.ask(r.question, true)
		}
	}
}

// mute is the sighting of a node without an answer. If it was asked, it failed,
// though its own deadline may be a moment later; if it is being connected to, that
// may go on; and if the whole round was cancelled, that says nothing of it.
func (t *target) mute(r *round) cluster.Sighting {
	if r.ctx.Err() != nil {
		return t.connecting()
	}
	t.failing = true
	if t.asking.Load() != t.open.number {
		return t.connecting()
	}
	t.open.failed = true
	sighting := silent(r.patience)
	t.last = fault{sighting.Reason, sighting.Error}
	return sighting
}

// glance returns the answer of a node that is not waited for, if it is there by
// the end of a moment. One that was asked in an earlier round is given the moment
// only if it is urgent: what becomes of it is decided by this look, and it may be
// the first since this process could hear anything. One that is well, but by its
// answer to an earlier look, is asked again.
func (t *target) glance(moment context.Context, r *round) (s cluster.Sighting, again bool) {
	a, ok := t.now()
	if !ok && (t.open.number == r.number || t.open.urgent) {
		a, ok = t.receive(moment)
	}
	if !ok {
		return t.connecting(), false
	}
	told, urgent := t.open.failed && a.number == t.open.number, t.open.urgent
	s = t.take(a)
	switch {
	case t.failing && told: // it is the same failure
		t.ask(r.question, urgent)
		return t.connecting(), false
	case t.failing || a.number == r.number:
		return s, false
	}
	if t.open.number == 0 {
		t.ask(r.question, true)
	}
	return t.connecting(), true
}

func (t *target) connecting() cluster.Sighting {
	reason := t.last.reason
	if reason == cluster.NoReason {
		reason = cluster.ReasonConnecting
	}
	return cluster.Sighting{Outcome: cluster.Connecting, Reason: reason, Error: t.last.text}
}

// askBeat asks for a beat and returns false if one is still under way.
func (t *target) askBeat(number uint64, row cluster.Row) bool {
	t.catchUp()
	if t.beating > 0 {
		return false
	}
	t.beating = number
	t.post(func() { t.answerBeat(number, row) })
	return true
}

// awaitBeat waits for what becomes of a beat until within ends, and takes an
// outcome that is there even then. A node that refuses its beat still answers,
// and the next look waits for it; one that does not say what became of it is
// not waited for.
func (t *target) awaitBeat(within, whole context.Context) cluster.BeatOutcome {
	select {
	case a := <-t.beaten:
		return t.takeBeat(a)
	case <-within.Done():
	}
	select {
	case a := <-t.beaten:
		return t.takeBeat(a)
	default:
	}
	if whole.Err() != nil {
		return cluster.BeatOutcome{Error: "the round was cancelled"}
	}
	t.failing, t.last = true, fault{cluster.ReasonTimeout, "no answer to the beat in time"}
	return cluster.BeatOutcome{Reason: t.last.reason, Error: t.last.text}
}

func (t *target) takeBeat(a beatAnswer) cluster.BeatOutcome {
	t.beating = 0
	if a.Verdict == cluster.Unknown {
		t.failing, t.last = true, fault{a.Reason, a.Error}
	}
	return a.BeatOutcome
}
