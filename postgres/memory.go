package postgres

import (
	"time"

	"plusmoin/cluster"
)

// memory is what is kept of a node's looks for later looks and beats.
type memory struct {
	table    table
	timeline uint32 // that the WAL receiver was last on
	systemID uint64 // of the server that timeline is of

	facts    cluster.Facts // as last told on this session
	slave    bool          // of which role they are
	complete bool          // there are facts, and not only what is read once a session
	from     time.Time     // before then they are not asked for: they were slow
}

// Facts that were slow are not asked for again before this time is over.
const factsPause = time.Minute

// wants reports whether a look that began then is to ask for facts.
func (m *memory) wants(asked bool, began time.Time) bool {
	return (asked || !m.complete) && !began.Before(m.from)
}

// stale reports whether a look that did not ask for facts should have done so:
// they are of another role or another server.
func (m *memory) stale(seen *sight) bool {
	if seen.asked || !m.complete || seen.Outcome != cluster.Answered {
		return false
	}
	was, is := m.facts, seen.Facts
	return seen.Slave != m.slave || was.SystemID != is.SystemID || was.Started != is.Started ||
		was.ServerAddr != is.ServerAddr || was.ServerPort != is.ServerPort
}

// take keeps of a look what is needed later, and completes it with what earlier
// ones gave.
func (m *memory) take(seen *sight, began time.Time) {
	if seen.slowFacts {
		m.from = began.Add(factsPause)
		m.forgetFacts()
	}
	if seen.Outcome != cluster.Answered {
		return
	}
	m.table = seen.table
	if !seen.asked && m.complete {
		seen.Facts, seen.FactsKept = m.facts, true
		return
	}
	facts := &seen.Facts
	if facts.SystemID != m.systemID {
		m.systemID, m.timeline = facts.SystemID, 0
	}
	// A receiver that is gone takes its timeline with it.
	if seen.walTLI != 0 {
		m.timeline = seen.walTLI
	}
	if facts.Timeline == 0 && seen.Slave {
		facts.Timeline = m.timeline
	}
	m.facts, m.slave, m.complete = *facts, seen.Slave, seen.asked && !seen.slowFacts
}

// forgetFacts keeps those of a session from being told as those of the next.
func (m *memory) forgetFacts() { m.facts, m.complete = cluster.Facts{}, false }
