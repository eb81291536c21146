package postgres

import (
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// statement is one statement of a session. If it has a name, it is prepared in
// passing when it is first sent, in the same round trip.
type statement struct {
	name, sql string
	prepared  bool
}

// reply is what a server answered to one statement.
type reply struct {
	rows     [][][]byte      // the first two; a null is nil
	affected int64           // how many rows it changed
	err      *pgconn.PgError // what the server had against the statement
}

// rowsKept is enough to know that there are too many.
const rowsKept = 2

var errCopy = errors.New("the statement is a COPY")

// ask adds the statement to a request, with a sync of its own, so that its
// failure does not touch the statements after it. All values go both ways as
// text, so no server need describe what it is about to send.
func (s *statement) ask(q *request, parameters ...string) {
	var values [][]byte
	for _, v := range parameters {
		values = append(values, []byte(v))
	}
	if !s.prepared {
		q.add((&pgproto3.Parse{Name: s.name, Query: s.sql}).Encode(q.bytes))
	}
	q.add((&pgproto3.Bind{PreparedStatement: s.name, Parameters: values}).Encode(q.bytes))
	q.add((&pgproto3.Execute{}).Encode(q.bytes))
	q.add((&pgproto3.Sync{}).Encode(q.bytes))
}

// receive reads the answer up to its sync: only then is the statement
// committed. An error means that the connection is of no more use.
func (s *statement) receive(w *wire) (reply, error) {
	var r reply
	for {
		message, err := w.receive()
		if err != nil {
			return r, err
		}
		switch message := message.(type) {
		case *pgproto3.ParseComplete:
			s.prepared = s.name != ""
		case *pgproto3.RowDescription: // of the next of several statements
			r.rows = nil
		case *pgproto3.DataRow:
			r.keep(message.Values)
		case *pgproto3.CommandComplete:
			r.affected = pgconn.NewCommandTag(string(message.CommandTag)).RowsAffected()
		case *pgproto3.ErrorResponse:
			if r.err == nil {
				r.err = pgconn.ErrorResponseToPgError(message)
			}
		case *pgproto3.ReadyForQuery:
			w.rest()
			return r, nil
		case *pgproto3.CopyInResponse, *pgproto3.CopyOutResponse, *pgproto3.CopyBothResponse:
			return r, errCopy
		}
	}
}

// keep copies a row, which is the reader's.
func (r *reply) keep(values [][]byte) {
	if len(r.rows) == rowsKept {
		return
	}
	size := 0
	for _, v := range values {
		size += len(v)
	}
	row, text := make([][]byte, len(values)), make([]byte, 0, size)
	for i, v := range values {
		if v != nil {
			text = append(text, v...)
			row[i] = text[len(text)-len(v):]
		}
	}
	r.rows = append(r.rows, row)
}

// only returns the row if there is exactly one, else nil.
func (r reply) only() [][]byte {
	if len(r.rows) != 1 {
		return nil
	}
	return r.rows[0]
}

// move makes the statement the same one for a table elsewhere.
func (s *statement) move(schema, sql string) {
	s.sql = in(schema, sql)
	if s.prepared { // the name is taken
		s.name, s.prepared = s.name+"_", false
	}
}

// null tells whether a column is null or is not there.
func null(row [][]byte, i int) bool { return i >= len(row) || row[i] == nil }

// field returns the text of a column, "" if it is null or is not there.
func field(row [][]byte, i int) string {
	if i >= len(row) {
		return ""
	}
	return string(row[i])
}

// integer returns the number in a column, 0 if it is none.
func integer(row [][]byte, i int) int64 {
	n, err := strconv.ParseInt(field(row, i), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
