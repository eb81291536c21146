package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

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
	schema   string        // of the heartbeat table; "" if it is not known
	pooled   bool          // something answers in the server's place

	role, row, facts     statement
	fineBeat, coarseBeat statement
	roleSQL              string
	roles                int  // statements that role has been
	alterTried           bool // the column tstamp_us was tried to be added

	remake    func(context.Context) (*session, error) // makes another like it
	used      bool                                    // it has been asked something
	stale     bool                                    // it is to be made anew at the next look
	lookDoubt doubt
	beatDoubt doubt
}

// errUnusable is said of a connection that must be made anew though it works.
var errUnusable = errors.New("what the kept session says is not what a new one may say")

// connect makes a session when there is a slot; ctx ends the wait for that, and
// the connect.
func connect(ctx, life context.Context, s Settings, n cluster.Node, free *slots) (*session, error) {
	slot, err := free.take(ctx, n.Host, true, s.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	made, err := establish(slot.in(ctx), life, s, n, &way{})
	slot.done(err)
	return made, err
}

// establish makes a session that lives no longer than life, within
// ConnectTimeout; ctx ends it before. It begins where w worked last.
func establish(ctx, life context.Context, s Settings, n cluster.Node, w *way) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.ConnectTimeout)
	defer cancel()
	login, err := s.login(n)
	if err != nil {
		return nil, err
	}
	on, err := login.connect(ctx, w)
	if err != nil {
		return nil, err
	}
	wire := &wire{conn: on.conn, left: maxExchange, version: name(on.version), pid: on.pid}
	made := newSession(life, wire, on.raw, s.IsSlaveStatement)
	// Its way is its own: a renewal may be using the other at the same time.
	made.remake = func(ctx context.Context) (*session, error) { return establish(ctx, life, s, n, &way{}) }
	deadline, _ := ctx.Deadline()
	if err := made.introduce(deadline); err != nil {
		made.close()
		return nil, err
	}
	on.meter.stop()
	return made, nil
}

func newSession(life context.Context, conn *wire, raw net.Conn, role string) *session {
	s := &session{ctx: life, conn: conn, raw: raw, roleSQL: role}
	s.unhook = context.AfterFunc(life, func() { raw.SetDeadline(past()) })
	return s
}

// prepare makes the statements, for the server and the table that are known.
func (s *session) prepare() {
	s.row = s.statement("plusmoin_row", in(s.schema, rowSQL))
	s.facts = s.statement("plusmoin_facts", factsSQL(major(s.conn.version)))
	s.fineBeat = s.statement("plusmoin_beat", in(s.schema, s.beatSQL(fineBeatSQL)))
	s.coarseBeat = s.statement("plusmoin_beat_s", in(s.schema, s.beatSQL(coarseBeatSQL)))
	s.setRole(s.roleSQL)
}

// statement returns one that is prepared when it is first sent. Behind a pooler
// it has no name and is sent whole each time: names belong to the sessions there.
func (s *session) statement(name, sql string) statement {
	if s.pooled {
		name = ""
	}
	return statement{name: name, sql: sql}
}

func (s *session) beatSQL(sql string) string {
	if s.pooled {
		return sql + localCommit
	}
	return sql
}

// setRole makes sql the statement that asks for the role.
func (s *session) setRole(sql string) {
	s.roles++
	s.roleSQL = sql
	s.role = s.statement("plusmoin_role_"+strconv.Itoa(s.roles), sql)
}

// begin opens an exchange that must end by deadline. The deadline is set on the
// connection itself, which is cheaper than a context and cannot be taken for a
// TCP connection that timed out.
func (s *session) begin(deadline time.Time) error {
	if err := s.raw.SetDeadline(deadline); err != nil {
		return err
	}
	err := s.ctx.Err() // asked last: an end that comes later moves the deadline
	s.conn.timed, s.conn.left = err == nil, maxExchange
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

// introduce reads what does not change in the session and sets it up. What the
// server refuses of that is left out.
func (s *session) introduce(deadline time.Time) error {
	if err := s.begin(deadline); err != nil {
		return err
	}
	if err := s.identify(); err != nil {
		return err
	}
	if s.identity.Started == 0 {
		if _, err := s.run(standbySQL); err != nil && s.conn.dead {
			return err
		}
		if err := s.identify(); err != nil {
			return err
		}
	}
	s.prepare()
	return s.end()
}

// identify sets up the session, and finds out which server this is and where the
// table is.
func (s *session) identify() error {
	var asked []*statement
	for _, sql := range sessionSQL(major(s.conn.version), s.conn.pid) {
		asked = append(asked, &statement{sql: sql})
	}
	asked = append(asked, &statement{sql: systemSQL}, &statement{sql: serverSQL}, &statement{sql: schemaSQL})
	replies, err := s.ask(asked...)
	if err != nil {
		return err
	}
	replies = replies[len(replies)-3:]
	s.identity = decodeIdentity(replies[0], replies[1])
	s.schema = decodeSchema(replies[2])
	// A pooler makes up the process that it says a session has.
	pid := integer(replies[1].only(), 4)
	s.pooled = pid != 0 && pid != int64(s.conn.pid)
	return nil
}

// locate finds out again where the table is.
func (s *session) locate() error {
	replies, err := s.ask(&statement{sql: schemaSQL})
	if err != nil {
		return err
	}
	if found := decodeSchema(replies[0]); found != s.schema {
		s.schema = found
		s.row.move(found, rowSQL)
		s.fineBeat.move(found, s.beatSQL(fineBeatSQL))
		s.coarseBeat.move(found, s.beatSQL(coarseBeatSQL))
	}
	return nil
}

// anew puts a new session in the place of one that may have outlived what it
// says, and returns false, with all as it was, if none can be made by deadline.
func (s *session) anew(deadline time.Time) bool {
	if s.remake == nil {
		return false
	}
	ctx, cancel := context.WithDeadline(s.ctx, deadline)
	defer cancel()
	fresh, err := s.remake(ctx)
	if err != nil {
		return false
	}
	if fresh.roleSQL != s.roleSQL { // the settings changed meanwhile
		fresh.setRole(s.roleSQL)
	}
	old := *s
	*s = *fresh
	old.close()
	return true
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
