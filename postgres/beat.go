package postgres

import (
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// beat writes row, in one round trip unless the last look found that something
// must be made first. It keeps t up to date. What a kept session refuses is tried
// again on a new one. After Unknown the connection is of no more use.
func (s *session) beat(row cluster.Row, t *table, deadline time.Time) cluster.BeatOutcome {
	outcome, doubtful := s.tryBeat(row, t, deadline)
	if !doubtful {
		return outcome
	}
	if !s.anew(deadline) {
		s.stale = true
		return outcome
	}
	outcome, _ = s.tryBeat(row, t, deadline)
	return outcome
}

// tryBeat also reports whether a refusal may be the session's own.
func (s *session) tryBeat(row cluster.Row, t *table, deadline time.Time) (o cluster.BeatOutcome, doubtful bool) {
	if err := s.begin(deadline); err != nil {
		return unsent(err), false
	}
	answer, err := s.write(row, t)
	if err == nil && s.changed(answer) {
		if err = s.reread(t); err == nil {
			answer, err = s.write(row, t)
		}
	}
	if err == nil {
		err = s.end()
	}
	if err == nil {
		o = settle(answer)
	} else {
		o, answer = s.unconfirmed(err), reply{err: said(err)}
	}
	if o.Verdict == cluster.Unknown {
		return o, false
	}
	isNew := !s.used
	s.used = true
	return o, s.beatDoubt.doubts(answer.ofSession(), isNew, time.Now())
}

// changed reports whether an answer says that the table is not as it was last
// seen. That it is gone is believed of a new session only.
func (s *session) changed(r reply) bool {
	if r.err != nil {
		return r.err.Code == "42703" || r.err.Code == "42P01" && !s.used
	}
	return r.affected == 0
}

// write makes what is missing and updates the row.
func (s *session) write(row cluster.Row, t *table) (reply, error) {
	if err := s.prepareTable(t); err != nil {
		return reply{}, err
	}
	parameters := []string{
		strconv.Itoa(row.Cluster), row.Master,
		strconv.FormatInt(row.Stamp.Seconds(), 10), strconv.Itoa(row.Stamp.Micros()),
	}
	update := &s.fineBeat
	if !t.fine {
		update, parameters = &s.coarseBeat, parameters[:3]
	}
	q := newRequest()
	update.ask(q, parameters...)
	replies, err := s.exchange(q, update)
	if err != nil {
		return reply{}, err
	}
	return replies[0], nil
}

// settle says what the server's answer to the update means.
func settle(r reply) cluster.BeatOutcome {
	if r.err != nil {
		return refused(r.err)
	}
	if r.affected != 1 {
		return refused(wrong{cluster.ReasonMisconfigured, "table heartbeat must hold exactly one row that can be updated"})
	}
	return cluster.BeatOutcome{Verdict: cluster.Confirmed}
}

// reread finds out what there is now. An error says why it cannot be written.
func (s *session) reread(t *table) error {
	replies, err := s.ask(&s.row)
	if err != nil {
		return err
	}
	_, found, err := findRow(replies[0])
	if err == nil {
		*t = found
	}
	return err
}

// prepareTable makes what the table lacks: the table, its row, the column for
// fractions of a second. That the last cannot be had is no error.
func (s *session) prepareTable(t *table) error {
	if t.missing {
		was := s.schema
		if err := s.locate(); err != nil {
			return err
		}
		if s.schema != was { // somebody else has made it
			if err := s.reread(t); err != nil {
				return err
			}
		}
	}
	if t.missing {
		if _, err := s.run(in(s.schema, createSQL)); err != nil {
			return err
		}
		t.missing, t.empty = false, true
	}
	if t.empty {
		rows, err := s.run(in(s.schema, insertSQL))
		if err != nil {
			return err
		}
		_, found, err := findRow(reply{rows: rows})
		if err != nil {
			return err
		}
		*t = found
	}
	if t.fine || s.alterTried {
		return nil
	}
	s.alterTried = true
	_, err := s.run(in(s.schema, alterSQL))
	if err != nil && s.conn.dead {
		return err
	}
	t.fine = err == nil
	return nil
}

// unconfirmed says what an error of the beat means. What the server refused was
// not written; what else went wrong may have been.
func (s *session) unconfirmed(err error) cluster.BeatOutcome {
	var answer wrong
	if refusal := said(err); !s.conn.dead && (errors.As(err, &answer) || refusal != nil && !fatal(refusal)) {
		_ = s.end() // whoever uses the session next finds out
		return refused(err)
	}
	f := classify(err)
	return cluster.BeatOutcome{Verdict: cluster.Unknown, Reason: f.reason, Error: f.text}
}

// said returns what the server said, nil if err is something else.
func said(err error) *pgconn.PgError {
	var e *pgconn.PgError
	_ = errors.As(err, &e)
	return e
}

func refused(err error) cluster.BeatOutcome {
	f := classify(err)
	return cluster.BeatOutcome{Verdict: cluster.Refused, Reason: f.reason, Error: f.text}
}

// unsent is the outcome of a beat of which not a byte was sent.
func unsent(err error) cluster.BeatOutcome { return refused(err) }
