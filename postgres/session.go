package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// session is one connection to a server. It is used by one goroutine at a time.
type session struct {
	ctx      context.Context // of its link: when it ends, no exchange goes on
	unhook   func() bool
	conn     *wire
	raw      net.Conn
	identity cluster.Facts // what does not change while the session lasts

	role, row, facts     statement
	fineBeat, coarseBeat statement
	roles                int  // statements that role has been
	alterTried           bool // the column tstamp_us was tried to be added
}

// errUnusable is said of a connection that must be made anew though it works.
var errUnusable = errors.New("the session lost its prepared statements, as behind a connection pooler")

// connect makes a session when there is a slot; ctx ends the wait for that, and
// the connect.
func connect(ctx, life context.Context, s Settings, n cluster.Node, free *slots) (*session, error) {
	slot, err := free.take(ctx, n.Host, true, s.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	made, err := establish(slot.in(ctx), life, s, n)
	slot.done(err)
	return made, err
}

// establish makes a session that lives no longer than life, within
// ConnectTimeout; ctx ends it before.
func establish(ctx, life context.Context, s Settings, n cluster.Node) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	config, err := s.config(n)
	if err != nil {
		return nil, err
	}
	d := &dialing{}
	config.LookupFunc, config.DialFunc = d.lookup, d.dial
	conn, err := pgconn.ConnectConfig(d.mark(ctx), config)
	if err != nil {
		return nil, err
	}
	wire, err := takeOver(ctx, conn)
	if err != nil {
		d.raw.Close()
		return nil, err
	}
	session := newSession(life, wire, d.raw, s.IsSlaveStatement)
	deadline, _ := ctx.Deadline()
	if err := session.introduce(deadline); err != nil {
		session.close()
		return nil, err
	}
	return session, nil
}

func newSession(life context.Context, conn *wire, raw net.Conn, role string) *session {
	s := &session{
		ctx: life, conn: conn, raw: raw,
		row:        statement{name: "plusmoin_row", sql: rowSQL},
		facts:      statement{name: "plusmoin_facts", sql: factsSQL(major(conn.version))},
		fineBeat:   statement{name: "plusmoin_beat", sql: fineBeatSQL},
		coarseBeat: statement{name: "plusmoin_beat_s", sql: coarseBeatSQL},
	}
	s.setRole(role)
	s.unhook = context.AfterFunc(life, func() { raw.SetDeadline(past()) })
	return s
}

// setRole makes sql the statement that asks for the role.
func (s *session) setRole(sql string) {
	s.roles++
	s.role = statement{name: "plusmoin_role_" + strconv.Itoa(s.roles), sql: sql}
}

// begin opens an exchange that must end by deadline. The deadline is set on the
// connection itself, which is cheaper than a context and cannot be taken for a
// TCP connection that timed out.
func (s *session) begin(deadline time.Time) error {
	if err := s.raw.SetDeadline(deadline); err != nil {
		return err
	}
	err := s.ctx.Err() // asked last: an end that comes later moves the deadline
	s.conn.timed = err == nil
	return err
}

// end closes an exchange after which the connection is still good.
func (s *session) end() error {
	s.conn.timed = false
	if s.conn.dead {
		return net.ErrClosed
	}
	if err := s.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return s.ctx.Err()
}

// introduce sets up the session and reads what does not change in it. What the
// server refuses of that is left out.
func (s *session) introduce(deadline time.Time) error {
	if err := s.begin(deadline); err != nil {
		return err
	}
	if sql := sessionSQL(major(s.conn.version)); sql != "" {
		if _, err := s.run(sql); err != nil && s.conn.dead {
			return err
		}
	}
	system, server := statement{sql: systemSQL}, statement{sql: serverSQL}
	replies, err := s.ask(&system, &server)
	if err != nil {
		return err
	}
	if rows := replies[0].rows; len(rows) == 1 {
		s.identity.SystemID, _ = strconv.ParseUint(field(rows[0], 0), 10, 64)
	}
	if rows := replies[1].rows; len(rows) == 1 {
		s.identity.ServerVersion = int(integer(rows[0], 0))
		s.identity.Started = integer(rows[0], 1)
		s.identity.ServerAddr = field(rows[0], 2)
		s.identity.ServerPort = int(integer(rows[0], 3))
	}
	return s.end()
}

// ask sends statements without parameters in one request, see exchange.
func (s *session) ask(statements ...*statement) ([]reply, error) {
	q := newRequest()
	for _, statement := range statements {
		statement.ask(q)
	}
	return s.exchange(q, statements...)
}

// exchange sends a request and reads the answers to its statements. With an
// error there may be fewer answers than statements, and the connection is of no
// more use.
func (s *session) exchange(q *request, statements ...*statement) ([]reply, error) {
	if err := s.conn.send(q); err != nil {
		return nil, err
	}
	replies := make([]reply, 0, len(statements))
	for _, statement := range statements {
		r, err := statement.receive(s.conn)
		if err != nil {
			s.conn.dead = true
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// run runs statements without parameters, as one transaction, and returns the
// rows of the last that gave some.
func (s *session) run(sql string) ([][][]byte, error) {
	q := newRequest()
	q.add((&pgproto3.Query{String: sql}).Encode(q.bytes))
	replies, err := s.exchange(q, &statement{})
	if err != nil {
		return nil, err
	}
	if r := replies[0]; r.err != nil {
		return nil, r.err
	}
	return replies[0].rows, nil
}

// close ends the session without waiting for the server.
func (s *session) close() {
	s.unhook()
	if !s.conn.dead {
		s.raw.SetDeadline(time.Now().Add(100 * time.Millisecond))
		s.conn.goodbye()
	}
	s.raw.Close()
}

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }
