package postgres

import (
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
	if replies[0].unusable() || replies[1].unusable() {
		return nil, errUnusable
	}
	seen := s.judge(replies)
	seen.asked = facts
	seen.slowFacts = seen.slowFacts || err != nil
	seen.Latency = time.Since(began)
	if err == nil {
		_ = s.end() // whoever uses the session next finds out
	}
	return seen, nil
}

// judge says what the answers mean: role, row and, if they are there, facts.
func (s *session) judge(replies []reply) *sight {
	slave, row, table, err := decodeLook(replies[0], replies[1])
	if err != nil {
		return &sight{Sighting: failed(err)}
	}
	seen := &sight{table: table}
	seen.Outcome, seen.Slave, seen.Row, seen.Facts = cluster.Answered, slave, row, s.identity
	if len(replies) > 2 {
		r := replies[2]
		seen.slowFacts = r.err != nil && (r.err.Code == "57014" || r.err.Code == "55P03")
		if len(r.rows) == 1 {
			seen.walTLI = decodeFacts(r.rows[0], &seen.Facts)
		}
	}
	return seen
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
		return nil, table{}, wrong{cluster.ReasonMisconfigured, "table heartbeat must hold one row and holds more"}
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
