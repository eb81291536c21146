package postgres

import (
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// beat writes row, in one round trip unless the last look found that something
// must be made first. It keeps t up to date. After Unknown the connection is
// of no more use.
func (s *session) beat(row cluster.Row, t *table, deadline time.Time) cluster.BeatOutcome {
	if err := s.begin(deadline); err != nil {
		return unsent(err)
	}
	if err := s.prepareTable(t); err != nil {
		return s.unconfirmed(err)
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
		return s.unconfirmed(err)
	}
	if err := s.end(); err != nil {
		return s.unconfirmed(err)
	}
	return settle(replies[0])
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

// prepareTable makes what the table lacks: the table, its row, the column for
// fractions of a second. That the last cannot be had is no error.
func (s *session) prepareTable(t *table) error {
	if t.missing {
		if _, err := s.run(createSQL); err != nil {
			return err
		}
		t.missing, t.empty = false, true
	}
	if t.empty {
		rows, err := s.run(insertSQL)
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
	_, err := s.run(alterSQL)
	if err != nil && s.conn.dead {
		return err
	}
	t.fine = err == nil
	return nil
}

// unconfirmed says what an error of the beat means. What the server refused was
// not written; what else went wrong may have been.
func (s *session) unconfirmed(err error) cluster.BeatOutcome {
	var said *pgconn.PgError
	var answer wrong
	if errors.As(err, &answer) || errors.As(err, &said) && !fatal(said) {
		_ = s.end() // whoever uses the session next finds out
		return refused(err)
	}
	f := classify(err)
	return cluster.BeatOutcome{Verdict: cluster.Unknown, Reason: f.reason, Error: f.text}
}

func refused(err error) cluster.BeatOutcome {
	f := classify(err)
	return cluster.BeatOutcome{Verdict: cluster.Refused, Reason: f.reason, Error: f.text}
}

// unsent is the outcome of a beat of which not a byte was sent.
func unsent(err error) cluster.BeatOutcome { return refused(err) }
