package postgres

import (
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// statement is one statement of a session. It is prepared in passing when it
// is first sent, in the same round trip.
type statement struct {
	name, sql string
	described *pgconn.StatementDescription // nil until prepared
}

// reply is what a server answered to one statement.
type reply struct {
	rows [][][]byte // the first two; a null is nil
	tag  pgconn.CommandTag
	err  *pgconn.PgError // what the server had against the statement
}

// rowsKept is enough to know that there are too many.
const rowsKept = 2

var errEndedEarly = errors.New("the answer ended early")

// send queues the statement with a sync of its own, so that its failure does
// not touch the statements after it.
func (s *statement) send(p *pgconn.Pipeline, parameters ...string) {
	var values [][]byte
	for _, v := range parameters {
		values = append(values, []byte(v))
	}
	if s.described == nil {
		p.SendPrepare(s.name, s.sql, nil)
		p.SendQueryPrepared(s.name, values, nil, nil)
	} else {
		p.SendQueryStatement(s.described, values, nil, nil)
	}
	p.SendPipelineSync()
}

// receive reads the answer up to its sync: only then is the statement
// committed. An error means that the connection is of no more use.
func (s *statement) receive(p *pgconn.Pipeline) (reply, error) {
	var r reply
	for {
		result, err := p.GetResults()
		if reader, ok := result.(*pgconn.ResultReader); ok {
			err = r.read(reader)
		}
		if err != nil {
			var refusal *pgconn.PgError
			if !errors.As(err, &refusal) || fatal(refusal) {
				return r, err
			}
			if r.err == nil {
				r.err = refusal
			}
			continue
		}
		switch result := result.(type) {
		case *pgconn.StatementDescription:
			result.Name = s.name
			s.described = result
		case *pgconn.PipelineSync:
			return r, nil
		case nil:
			return r, errEndedEarly
		}
	}
}

func (r *reply) read(reader *pgconn.ResultReader) error {
	for reader.NextRow() {
		if len(r.rows) == rowsKept {
			continue
		}
		var row [][]byte
		for _, v := range reader.Values() {
			if v != nil {
				v = append([]byte{}, v...)
			}
			row = append(row, v)
		}
		r.rows = append(r.rows, row)
	}
	var err error
	r.tag, err = reader.Close()
	return err
}

// unusable tells that the server forgot or cannot go on with a prepared
// statement, which a new session mends.
func (r reply) unusable() bool {
	return r.err != nil && (r.err.Code == "26000" || r.err.Code == "0A000" && r.err.Routine == "RevalidateCachedQuery")
}

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
