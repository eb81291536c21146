package postgres

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"plusmoin/cluster"
)

// decodeFacts reads a row of factsSQL into the facts that change. walTLI is the
// timeline the receiver is on, 0 if that is not to be seen.
func decodeFacts(row [][]byte, facts *cluster.Facts) (walTLI uint32) {
	facts.Timeline = timelineOf(field(row, 1))
	facts.LSN = decodeLSN(field(row, 2))
	facts.ReplayLSN = decodeLSN(field(row, 3))
	facts.ReplayPaused = decodeFlag(field(row, 4))
	facts.SyncBlocked = decodeFlag(field(row, 5))
	if slave := field(row, 0) == "t"; !slave {
		return 0
	}
	facts.Receiver = decodeReceiver(row[min(6, len(row)):])
	return uint32(within(integer(row, 8), math.MaxUint32))
}

// The columns of rowSQL and factsSQL that hold the start of the server.
const (
	rowStarted   = 4
	factsStarted = 13
)

// from reports whether an answer may be of the server that the identity is of,
// by the start of the server in a column.
func from(identity cluster.Facts, row [][]byte, started int) bool {
	at := integer(row, started)
	return at == 0 || identity.Started == 0 || at == identity.Started
}

// decodeIdentity reads the answers to systemSQL and serverSQL. What was refused or
// is nonsense is not known.
func decodeIdentity(system, server reply) cluster.Facts {
	var facts cluster.Facts
	if id, err := strconv.ParseUint(field(system.only(), 0), 10, 64); err == nil {
		facts.SystemID = id
	}
	row := server.only()
	facts.ServerVersion = int(within(integer(row, 0), 10_000_000))
	facts.Started = within(integer(row, 1), math.MaxInt64)
	if addr, err := netip.ParseAddr(field(row, 2)); err == nil {
		facts.ServerAddr = addr.WithZone("").String()
	}
	facts.ServerPort = port(row, 3)
	return facts
}

// decodeSchema reads the answer to schemaSQL, "" if there is none.
func decodeSchema(r reply) string {
	schema := field(r.only(), 0)
	if len(schema) > maxName || strings.ContainsRune(schema, 0) {
		return ""
	}
	return schema
}

func port(row [][]byte, i int) int { return int(within(integer(row, i), math.MaxUint16)) }

// within returns n, or 0 if it is below that or above most.
func within(n, most int64) int64 {
	if n < 0 || n > most {
		return 0
	}
	return n
}

// decodeReceiver reads what begins with the pid. The role may see that and
// nothing else, which is not the same as that there is no receiver.
func decodeReceiver(row [][]byte) cluster.Receiver {
	if field(row, 0) == "" {
		return cluster.Receiver{Known: true}
	}
	if field(row, 1) == "" {
		return cluster.Receiver{}
	}
	r := cluster.Receiver{
		Known: true, Running: true,
		Received: decodeLSN(field(row, 3)), LastMessage: within(integer(row, 4), math.MaxInt64),
	}
	if host := field(row, 5); host != "" {
		r.Upstream = cluster.Node{Host: name(host), Port: port(row, 6)}.String()
	}
	return r
}

// timelineOf reads the timeline from the name of a WAL file; 0 if there is
// none.
func timelineOf(file string) uint32 {
	if len(file) < 8 {
		return 0
	}
	n, err := strconv.ParseUint(file[:8], 16, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func decodeLSN(text string) cluster.LSN {
	high, low, _ := strings.Cut(text, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if err1 != nil || err2 != nil {
		return 0
	}
	return cluster.LSN(h<<32 | l)
}

func decodeFlag(text string) cluster.Flag {
	switch text {
	case "t":
		return cluster.Yes
	case "f":
		return cluster.No
	}
	return cluster.NotKnown
}

// decodeRole reads the answer of is_slave_statement.
func decodeRole(r reply) (slave bool, err error) {
	if len(r.rows) != 1 || len(r.rows[0]) != 1 || r.rows[0][0] == nil {
		return false, wrong{cluster.ReasonBadAnswer, "is_slave_statement must give one row with one value that is not null"}
	}
	text := strings.ToLower(strings.TrimSpace(string(r.rows[0][0][:min(len(r.rows[0][0]), maxName)])))
	switch text {
	case "t", "true", "on", "yes", "y":
		return true, nil
	case "f", "false", "off", "no", "n":
		return false, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n != 0, nil
	}
	return false, wrong{cluster.ReasonBadAnswer, "is_slave_statement must give true or false"}
}
