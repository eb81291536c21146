package cluster

import "time"

// Outcome is how looking at a node ended.
type Outcome uint8

// The outcomes of a look. Connecting, which does not count as an answer, is
// what is meant when nothing is said.
const (
	Connecting Outcome = iota
	Answered
	Failed
)

// Reason is the one word for why a node does not answer, or for what is wrong
// with one that does. It is shown in status.json.
type Reason string

// The reasons. The first group keeps a node from answering; unwritable is said
// of a master that answers but does not take its beat; the last are said by
// this package of nodes that answer.
const (
	NoReason            Reason = ""
	ReasonConnecting    Reason = "connecting"
	ReasonRefused       Reason = "refused"
	ReasonTimeout       Reason = "timeout"
	ReasonUnreachable   Reason = "unreachable"
	ReasonDisconnected  Reason = "disconnected"
	ReasonDNS           Reason = "dns"
	ReasonTLS           Reason = "tls"
	ReasonStartingUp    Reason = "starting_up"
	ReasonShuttingDown  Reason = "shutting_down"
	ReasonNotAccepting  Reason = "not_accepting"
	ReasonTooMany       Reason = "too_many_connections"
	ReasonAuth          Reason = "auth"
	ReasonMisconfigured Reason = "misconfigured"
	ReasonBadAnswer     Reason = "bad_answer"
	ReasonResources     Reason = "resources"

	ReasonUnwritable Reason = "unwritable"

	ReasonAlias       Reason = "alias"        // another name of a master already known
	ReasonLag         Reason = "lag"          // lost because it lagged
	ReasonUnproven    Reason = "unproven"     // answers, but has not shown that it is in sync
	ReasonOtherSystem Reason = "other_system" // lost: its data is not of its cluster's system
)

// Sighting is what one look at one node gave.
type Sighting struct {
	Outcome Outcome
	// Reason says why the node failed; on a node that answered it is a
	// warning, such as too_many_connections when only the kept connection
	// still works.
	Reason Reason
	Error  string // the same for people, without passwords
	// Slave is the answer of is_slave_statement. It and what follows mean
	// something only if the node answered; of one that failed because its server
	// refused role or row, Facts still say which server that is.
	Slave bool
	Row   *Row // nil: answered, but there is no table or no row
	Facts Facts
	// FactsKept says that the facts that change are those of an earlier look,
	// about a second old at most.
	FactsKept bool
	Latency   time.Duration
}

// letsNotIn reports whether a server that fails for this reason answers, but lets
// nobody in.
func (r Reason) letsNotIn() bool {
	switch r {
	case ReasonAuth, ReasonTooMany, ReasonTLS, ReasonMisconfigured, ReasonStartingUp, ReasonShuttingDown, ReasonNotAccepting:
		return true
	}
	return false
}

// fromServer reports whether a failure for this reason was a word of a server,
// which lives then.
func (r Reason) fromServer() bool {
	return r.letsNotIn() || r == ReasonBadAnswer || r == ReasonUnwritable
}

// fromHost reports whether a failure for this reason was an answer of the host:
// a word of its server, or its refusal to connect. So the way there is open.
func (r Reason) fromHost() bool { return r.fromServer() || r == ReasonRefused }

// BeatVerdict is how sending a beat ended.
type BeatVerdict uint8

// The verdicts of a beat. Unknown, which is what is meant when nothing is
// said, may still have been written.
const (
	Unknown BeatVerdict = iota
	Confirmed
	Refused
)

// Beat is a row to be written on a master.
type Beat struct {
	Node Node
	Row  Row
}

// BeatOutcome is what became of a beat.
type BeatOutcome struct {
	Verdict BeatVerdict
	Reason  Reason
	Error   string
}
