package postgres

import (
	"cmp"
	"time"

	"plusmoin/cluster"
)

// table is what a look found of the heartbeat table and the next beat needs to
// know.
type table struct {
	missing bool
	empty   bool
	fine    bool // has the column tstamp_us
}

// sight is what one look on a session gave.
type sight struct {
	cluster.Sighting
	asked     bool // for facts too
	table     table
	walTLI    uint32 // of the WAL receiver, 0 if not seen
	slowFacts bool
}

// look asks for role, row and, if wanted, facts in one round trip. An error
// means that the connection is of no more use and the node gave no answer;
// with slow facts it is of no more use either, but the node answered.
func (s *session) look(deadline time.Time, facts bool) (*sight, error) {
	began := time.Now()
	if err := s.begin(deadline); err != nil {
		return nil, err
	}
	asked := []*statement{&s.role, &s.row, &s.facts}
	if !facts {
		asked = asked[:2]
	}
	replies, err := s.ask(asked...)
	if len(replies) < 2 || err != nil && !late(err) {
		return nil, err
	}
	seen, code := s.judge(replies)
	isNew := !s.used
	s.used = true
	if s.stale || s.lookDoubt.doubts(code, isNew, began) {
		return nil, errUnusable
	}
	seen.asked = facts
	seen.slowFacts = seen.slowFacts || err != nil
	seen.Latency = time.Since(began)
	if err == nil {
		_ = s.end() // whoever uses the session next finds out
	}
	return seen, nil
}

// judge says what the answers mean: role, row and, if they are there, facts. A
// node whose row cannot be used still says which server it is, and whether it is
// a slave if it knows. code is the refusal that may be the session's own.
func (s *session) judge(replies []reply) (seen *sight, code string) {
	role, row, facts := replies[0], replies[1], reply{}
	if len(replies) > 2 {
		facts = replies[2]
	}
	seen = &sight{}
	seen.Facts = s.identity
	if !from(s.identity, row.only(), rowStarted) || !from(s.identity, facts.only(), factsStarted) {
		seen.Sighting = failed(wrong{cluster.ReasonBadAnswer, "the answers come from different servers, so there is a proxy in between; " +
			"write host and port of the server itself"})
		return seen, otherServer
	}
	slave, found, table, err := decodeLook(role, row)
	seen.table, seen.Slave, seen.Row, seen.Outcome = table, slave, found, cluster.Answered
	if err != nil {
		f := classify(err)
		seen.Outcome, seen.Reason, seen.Error = cluster.Failed, f.reason, f.text
	}
	seen.slowFacts = facts.err != nil && (facts.err.Code == "57014" || facts.err.Code == "55P03")
	if fact := facts.only(); fact != nil {
		seen.walTLI = decodeFacts(fact, &seen.Facts)
	}
	return seen, cmp.Or(role.ofSession(), row.ofSession())
}

func decodeLook(role, row reply) (slave bool, found *cluster.Row, t table, err error) {
	if role.err != nil {
		return false, nil, table{}, role.err
	}
	if slave, err = decodeRole(role); err != nil {
		return false, nil, table{}, err
	}
	found, t, err = findRow(row)
	return slave, found, t, err
}

// findRow returns the one row, or nil if there is none or no table.
func findRow(r reply) (*cluster.Row, table, error) {
	switch {
	case r.err != nil && r.err.Code == "42P01":
		return nil, table{missing: true}, nil
	case r.err != nil:
		return nil, table{}, r.err
	case len(r.rows) == 0:
		return nil, table{empty: true}, nil
	case len(r.rows) > 1:
		return nil, table{}, wrong{cluster.ReasonMisconfigured, "table heartbeat must hold one row and holds more; see plusmoin check for the line that keeps the right one"}
	}
	row, fine, err := decodeRow(r.rows[0])
	if err != nil {
		return nil, table{}, err
	}
	return &row, table{fine: fine}, nil
}

func failed(err error) cluster.Sighting {
	f := classify(err)
	return cluster.Sighting{Outcome: cluster.Failed, Reason: f.reason, Error: f.text}
}
