package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// session is one connection to a server. It is used by one goroutine at a time.
type session struct {
	ctx      context.Context // of its link: when it ends, no exchange goes on
	unhook   func() bool
	conn     *pgconn.PgConn
	raw      net.Conn
	identity cluster.Facts // what does not change while the session lasts

	role, row, facts     statement
	fineBeat, coarseBeat statement
	roles                int  // statements that role has been
	alterTried           bool // the column tstamp_us was tried to be added
}

// errUnusable is said of a connection that must be made anew though it works.
var errUnusable = errors.New("the session lost its prepared statements, as behind a connection pooler")

// connect makes a session that lives no longer than life. Its time begins when
// it has a slot; ctx ends it before.
func connect(ctx, life context.Context, s Settings, n cluster.Node, free slots) (*session, error) {
	release, err := free.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
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
	session := newSession(life, conn, d.raw, s.IsSlaveStatement)
	deadline, _ := ctx.Deadline()
	if err := session.introduce(deadline); err != nil {
		session.close()
		return nil, err
	}
	return session, nil
}

func newSession(life context.Context, conn *pgconn.PgConn, raw net.Conn, role string) *session {
	s := &session{
		ctx: life, conn: conn, raw: raw,
		row:        statement{name: "plusmoin_row", sql: rowSQL},
		facts:      statement{name: "plusmoin_facts", sql: factsSQL(major(conn.ParameterStatus("server_version")))},
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
	return s.ctx.Err() // asked last: an end that comes later moves the deadline
}

// end closes an exchange after which the connection is still good.
func (s *session) end() error {
	if s.conn.IsClosed() {
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
	if sql := sessionSQL(major(s.conn.ParameterStatus("server_version"))); sql != "" {
		if _, err := s.run(sql); err != nil && s.conn.IsClosed() {
			return err
		}
	}
	system, server := statement{sql: systemSQL}, statement{sql: serverSQL}
	p := s.conn.StartPipeline(context.Background())
	system.send(p)
	server.send(p)
	replies, err := s.collect(p, &system, &server)
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

// collect sends what was queued and reads the answers. With an error there may
// be fewer answers than statements, and the connection is of no more use.
func (s *session) collect(p *pgconn.Pipeline, statements ...*statement) ([]reply, error) {
	if err := p.Flush(); err != nil {
		return nil, err
	}
	replies := make([]reply, 0, len(statements))
	for _, statement := range statements {
		r, err := statement.receive(p)
		if err != nil {
			_ = p.Close() // would only repeat err
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, p.Close()
}

// run runs statements without parameters, as one transaction, and returns the
// rows of the last.
func (s *session) run(sql string) ([][][]byte, error) {
	results, err := s.conn.Exec(context.Background(), sql).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	return results[len(results)-1].Rows, nil
}

// close ends the session without waiting for the server.
func (s *session) close() {
	s.unhook()
	if !s.conn.IsClosed() {
		s.raw.SetDeadline(time.Now().Add(100 * time.Millisecond))
		s.conn.Close(context.Background()) // says goodbye if it can
	}
	s.raw.Close()
}

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }
