package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"plusmoin/cluster"
)

// Inspection is what one thorough look at one node found.
type Inspection struct {
	Node     cluster.Node
	Findings []Finding // what can be judged of the node by itself

	// Reason is why nothing more is known: the node cannot be connected to,
	// or does not say whether it is a slave. What follows is then empty.
	Reason cluster.Reason

	Slave   bool
	Version string        // as the server says it
	Latency time.Duration // of one look on a warm connection
	Facts   cluster.Facts
	// Rows are the heartbeat rows that were read, each different from the one
	// before. Only a master is watched; a slave is read twice.
	Rows []cluster.Row

	PID        uint32    // of our own session on the server
	ClientAddr string    // of that session as the server sees it, "" over a Unix socket
	Sessions   []Session // of the same role in the same database, ours too
	Standbys   []Standby // which replay what this server sends them
	Pooled     bool      // a pooler such as pgbouncer answers in the server's place

	ClusterName     string        // the parameter cluster_name
	SeesStats       bool          // the role is a member of pg_read_all_stats
	ArchiveTimeout  time.Duration // 0 unless a segment is archived after that time
	SegmentSize     string        // of the WAL, such as 16MB
	ApplyDelay      time.Duration // by which a slave is told to replay late
	ReceiverTimeout time.Duration // for which a slave takes a silent master for alive
}

// Session is one connection to a server.
type Session struct {
	PID         uint32 `json:"pid"`
	Application string `json:"application"`
	Client      string `json:"client"` // address, "" over a Unix socket
}

// Standby is a slave as its master sees it.
type Standby struct {
	Application string `json:"application"`
	Client      string `json:"client"` // address, "" over a Unix socket or if the role may not see it
}

const (
	// How long the server may take to answer what only an inspection asks.
	inspectPatience = 5 * time.Second
	// The pause between two looks at the row of a master.
	watchPause = 100 * time.Millisecond
)

// Inspect looks thoroughly at nodes, all at once, and returns an Inspection of
// each in the same order. The row of a master is watched for the time given.
// Nothing is written on any server: after the first statements, which only
// read, its sessions are read-only. It takes at most ConnectTimeout, watch and
// some ten seconds. The error says what is wrong with the settings.
func Inspect(ctx context.Context, s Settings, nodes []cluster.Node, watch time.Duration) ([]Inspection, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	free := newSlots()
	found := make([]Inspection, len(nodes))
	var pending sync.WaitGroup
	for i, n := range nodes {
		pending.Go(func() { found[i] = inspect(ctx, s, n, watch, free) })
	}
	pending.Wait()
	return found, nil
}

func inspect(ctx context.Context, s Settings, n cluster.Node, watch time.Duration, free *slots) Inspection {
	session, err := connect(ctx, ctx, s, n, free)
	if err != nil {
		return Inspection{Node: n, Reason: classify(err).reason, Findings: []Finding{unconnected(ctx, s, n, err)}}
	}
	defer session.close()
	in := &inspector{session: session, settings: s}
	in.Node = n
	if err := in.ask(ctx, watch); err != nil {
		f := classify(err)
		in.Reason = f.reason
		in.problem(fmt.Sprintf("%s: does not answer: %s", f.reason, f.text))
	} else {
		in.judge()
	}
	return in.Inspection
}

// inspector gathers what an Inspection is made of.
type inspector struct {
	Inspection
	session  *session
	settings Settings

	readOnly readOnly
	roleErr  error // is_slave_statement failed
	rowErr   error // the row cannot be read or used
	mixed    bool  // answers came from several servers
	table    table
	about    about
	conf     map[string]string // parameters, in their base units
	relation *relation         // nil: no table of that name is found
	rows     int               // that the table holds, as far as they were counted
	place    place
	account  *account
	blockers []blocker // that were there at two moments
	oldest   []oldest  // the worst first
	events   []eventTrigger
}

// ask asks everything. An error means that the server does not answer.
func (in *inspector) ask(ctx context.Context, watch time.Duration) error {
	if err := in.forbidWriting(); err != nil {
		return err
	}
	if err := in.look(true); err != nil {
		return err
	}
	if err := in.watch(ctx, watch); err != nil {
		return err
	}
	return in.question()
}

// forbidWriting makes the session read-only, after it has seen whether it
// would have been anyway. Sessions of a pooler are others' as well, and left as
// they are.
func (in *inspector) forbidWriting() error {
	replies, err := in.exchange(&statement{sql: readOnlySQL})
	if err != nil {
		return err
	}
	decode(replies[0], &in.readOnly)
	if in.Pooled = in.session.pooled; in.Pooled {
		return nil // it would be others' sessions that became read-only
	}
	deadline := time.Now().Add(inspectPatience)
	if err := in.session.begin(deadline); err != nil {
		return err
	}
	if _, err := in.session.run(forbidSQL); err != nil {
		return err
	}
	return in.session.end()
}

// exchange sends statements in one round trip.
func (in *inspector) exchange(statements ...*statement) ([]reply, error) {
	s := in.session
	if err := s.begin(time.Now().Add(inspectPatience + time.Second)); err != nil {
		return nil, err
	}
	replies, err := s.ask(statements...)
	if err != nil {
		return nil, err
	}
	return replies, s.end()
}

// look looks as a round does, but tells apart what a round need not.
func (in *inspector) look(facts bool) error {
	s := in.session
	asked := []*statement{&s.row, &s.role}
	if in.Pooled { // is_slave_statement is the user's and may be anything
		asked = []*statement{&s.row, {sql: beginSQL}, &s.role, {sql: rollbackSQL}}
	}
	role := len(asked) - 1
	if in.Pooled {
		role--
	}
	if facts {
		asked = append(asked, &s.facts)
	}
	began := time.Now()
	replies, err := in.exchange(asked...)
	if err != nil {
		return err
	}
	in.Latency = time.Since(began)
	if in.roleErr = refusalOf(replies[role]); in.roleErr == nil {
		in.Slave, in.roleErr = decodeRole(replies[role])
	}
	row, table, err := findRow(replies[0])
	in.table, in.rowErr = table, err
	if row != nil && (len(in.Rows) == 0 || in.Rows[len(in.Rows)-1] != *row) {
		in.Rows = append(in.Rows, *row)
	}
	fact := replies[len(replies)-1].only()
	if !from(s.identity, replies[0].only(), rowStarted) || facts && !from(s.identity, fact, factsStarted) {
		in.mixed = true
	}
	if facts && fact != nil {
		in.Facts = s.identity
		decodeFacts(fact, &in.Facts)
	}
	return nil
}

func refusalOf(r reply) error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// watch looks at the row of a master again and again. The first look has
// prepared the statements, so that the latency is that of the second.
func (in *inspector) watch(ctx context.Context, within time.Duration) error {
	end := time.Now().Add(within)
	for {
		if err := in.look(false); err != nil {
			return err
		}
		if in.Slave || in.roleErr != nil || !time.Now().Before(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(watchPause, time.Until(end))):
		}
	}
}

// question asks what only an inspection wants to know. What the server refuses
// of that stays unknown.
func (in *inspector) question() error {
	s := in.session
	in.Version, in.PID = name(s.conn.version), s.conn.pid
	if !in.Pooled {
		if _, err := in.exchange(&statement{sql: pathSQL}); err != nil {
			return err
		}
	}
	first, err := in.blocking()
	if err != nil {
		return err
	}
	replies, err := in.exchange(
		&statement{sql: aboutSQL}, &statement{sql: confSQL}, &statement{sql: relationSQL(s.schema, major(s.conn.version))},
		&statement{sql: forSchema(s.schema, rowsSQL)}, &statement{sql: sessionsSQL}, &statement{sql: standbysSQL},
		&statement{sql: forSchema(s.schema, schemaRightsSQL)}, &statement{sql: roleSQL},
		&statement{sql: agesSQL}, &statement{sql: eventTriggersSQL})
	if err != nil {
		return err
	}
	for i, target := range []any{
		&in.about, &in.conf, &in.relation, &in.rows, &in.Sessions, &in.Standbys, &in.place, &in.account, &in.oldest, &in.events,
	} {
		decode(replies[i], target)
	}
	in.publish()
	again, err := in.blocking()
	in.blockers = inBoth(first, again)
	return err
}

// blocking returns who holds the table or its row at this moment.
func (in *inspector) blocking() ([]blocker, error) {
	if in.Slave || in.table.missing {
		return nil, nil
	}
	schema := in.session.schema
	replies, err := in.exchange(&statement{sql: forSchema(schema, tableBlockersSQL)}, &statement{sql: forSchema(schema, rowBlockersSQL)})
	if err != nil {
		return nil, err
	}
	var table, row []blocker
	decode(replies[0], &table)
	decode(replies[1], &row)
	return append(table, row...), nil
}

// inBoth returns who was there both times. A beat of a monitor that runs holds
// its row for an instant.
func inBoth(first, again []blocker) []blocker {
	return slices.DeleteFunc(again, func(b blocker) bool {
		return !slices.ContainsFunc(first, func(a blocker) bool { return a.PID == b.PID && a.GID == b.GID && a.Mode == b.Mode })
	})
}

// publish fills in what others are to judge by.
func (in *inspector) publish() {
	in.ClientAddr = in.about.Client
	in.SeesStats = in.about.SeesStats
	in.ClusterName = in.conf["cluster_name"]
	in.SegmentSize = in.about.Segment
	if in.conf["archive_mode"] == "on" || in.conf["archive_mode"] == "always" {
		in.ArchiveTimeout = in.confTime("archive_timeout", time.Second)
	}
	in.ApplyDelay = in.confTime("recovery_min_apply_delay", time.Millisecond)
	in.ReceiverTimeout = in.confTime("wal_receiver_timeout", time.Millisecond)
}

func (in *inspector) confTime(name string, unit time.Duration) time.Duration {
	return time.Duration(in.confNumber(name)) * unit
}

func (in *inspector) confNumber(name string) int64 {
	n, err := strconv.ParseInt(in.conf[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ownAddress returns the address from which this machine speaks to a node, ""
// if there is no way to it. Nothing is sent.
func ownAddress(n cluster.Node) string {
	conn, err := net.Dial("udp", n.String())
	if err != nil {
		return ""
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return ""
	}
	return host
}
