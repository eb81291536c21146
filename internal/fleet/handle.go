package fleet

import (
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// handle answers one message and returns false when the session is over.
func (c *conn) handle(message pgproto3.FrontendMessage) bool {
	switch message := message.(type) {
	case *pgproto3.Terminate:
		return false
	case *pgproto3.Sync:
		c.skipping = false
		c.ready()
		return true
	case *pgproto3.Query:
		c.query(message.String)
		c.ready()
		return true
	}
	if c.skipping {
		return true
	}
	switch message := message.(type) {
	case *pgproto3.Parse:
		c.parse(message)
	case *pgproto3.Describe:
		c.describe(message)
	case *pgproto3.Bind:
		c.bind(message)
	case *pgproto3.Execute:
		return c.execute()
	case *pgproto3.Close:
		delete(c.prepared, message.Name)
		c.backend.Send(&pgproto3.CloseComplete{})
	case *pgproto3.Flush:
		return c.backend.Flush() == nil
	default:
		c.refuse("0A000", "the fleet does not know this message")
	}
	return true
}

// query answers a simple query: only settings are sent that way, and by the
// client's library, on a busy machine, a comment to see whether it is answered.
func (c *conn) query(sql string) {
	if strings.HasPrefix(sql, "--") {
		c.backend.Send(&pgproto3.EmptyQueryResponse{})
		return
	}
	for one := range strings.SplitSeq(sql, ";") {
		if !strings.HasPrefix(strings.TrimSpace(one), "SET ") {
			c.unknown(sql)
			c.skipping = false
			return
		}
		c.complete("SET")
	}
}

func (c *conn) parse(m *pgproto3.Parse) {
	s := recognise(m.Query)
	if s == nil {
		c.unknown(m.Query)
		return
	}
	if c.fleet.parsed != nil {
		c.fleet.parsed(m.Name, m.Query)
	}
	c.prepared[m.Name] = s
	c.backend.Send(&pgproto3.ParseComplete{})
}

func (c *conn) describe(m *pgproto3.Describe) {
	s := c.bound
	if m.ObjectType == 'S' {
		if s = c.prepared[m.Name]; s != nil {
			c.backend.Send(&pgproto3.ParameterDescription{ParameterOIDs: s.parameters})
		}
	}
	switch {
	case s == nil:
		c.refuse("26000", "no such statement")
	case len(s.columns) == 0:
		c.backend.Send(&pgproto3.NoData{})
	default:
		c.backend.Send(&pgproto3.RowDescription{Fields: s.columns})
	}
}

func (c *conn) bind(m *pgproto3.Bind) {
	s := c.prepared[m.PreparedStatement]
	switch {
	case s == nil:
		c.refuse("26000", "no such statement")
		return
	case len(m.Parameters) != len(s.parameters):
		c.refuse("08P01", "the number of parameters is wrong")
		return
	}
	if len(s.parameters) > 0 {
		var err error
		if c.beat, err = decodeBeat(m.Parameters); err != nil {
			c.refuse("22P02", err.Error())
			return
		}
	}
	c.bound = s
	c.backend.Send(&pgproto3.BindComplete{})
}

func (c *conn) execute() bool {
	if c.bound == nil {
		c.refuse("34000", "nothing is bound")
		return true
	}
	return c.bound.run(c)
}

func (c *conn) complete(tag string) {
	c.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

func (c *conn) unknown(sql string) { c.refuse("42601", "the fleet does not know this statement: "+sql) }

// refuse answers with an error, after which all up to the next sync is skipped.
func (c *conn) refuse(code, text string) {
	c.skipping = true
	c.backend.Send(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: text})
}
