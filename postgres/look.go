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

// view is what one look on a session gave.
type view struct {
	sighting  cluster.Sighting
	table     table
	walTLI    uint32 // of the WAL receiver, 0 if not seen
	slowFacts bool
}

// look asks for role, row and, if wanted, facts in one round trip. An error
// means that the connection is of no more use and the node gave no answer;
// with slow facts it is of no more use either, but the node answered.
func (s *session) look(deadline time.Time, facts bool) (view, error) {
	began := time.Now()
	if err := s.begin(deadline); err != nil {
		return view{}, err
	}
	asked := []*statement{&s.role, &s.row, &s.facts}
	if !facts {
		asked = asked[:2]
	}
	var q request
	for _, statement := range asked {
		statement.ask(&q)
	}
	replies, err := s.exchange(q, asked...)
	if len(replies) < 2 || err != nil && !late(err) {
		return view{}, err
	}
	if replies[0].unusable() || replies[1].unusable() {
		return view{}, errUnusable
	}
	v := s.judge(replies)
	v.slowFacts = v.slowFacts || err != nil
	v.sighting.Latency = time.Since(began)
	if err == nil {
		_ = s.end() // whoever uses the session next finds out
	}
	return v, nil
}

// judge makes a view of the answers: role, row and, if they are there, facts.
func (s *session) judge(replies []reply) view {
	slave, row, table, err := decodeLook(replies[0], replies[1])
	if err != nil {
		return view{sighting: failed(err)}
	}
	v := view{table: table}
	facts := s.identity
	if len(replies) > 2 {
		r := replies[2]
		v.slowFacts = r.err != nil && (r.err.Code == "57014" || r.err.Code == "55P03")
		if len(r.rows) == 1 {
			facts, v.walTLI = decodeFacts(r.rows[0])
			facts = withIdentity(facts, s.identity)
		}
	}
	v.sighting = cluster.Sighting{Outcome: cluster.Answered, Slave: slave, Row: row, Facts: facts}
	return v
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
	row, fine, err := decodeRow(r.rows[0][0])
	if err != nil {
		return nil, table{}, err
	}
	return &row, table{fine: fine}, nil
}

func withIdentity(facts, identity cluster.Facts) cluster.Facts {
	facts.SystemID, facts.ServerVersion, facts.Started = identity.SystemID, identity.ServerVersion, identity.Started
	facts.ServerAddr, facts.ServerPort = identity.ServerAddr, identity.ServerPort
	return facts
}

func failed(err error) cluster.Sighting {
	f := classify(err)
	return cluster.Sighting{Outcome: cluster.Failed, Reason: f.reason, Error: f.text}
}
