package postgres

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// wire speaks the protocol over a connection that the library has made. It does
// what little a look and a beat need, and it does it with next to no memory
// while it waits: what decodes messages is borrowed when the first bytes of an
// answer are there and given back after the last of those that have come. A
// thousand connections would otherwise hold a thousand buffers.
type wire struct {
	conn    net.Conn // with TLS if there is any
	reader  *reader  // borrowed; nil while nothing is read in part
	first   [48]byte // has room for the answer to the shortest statement
	version string
	pid     uint32
	timed   bool  // an exchange is under way whose deadline may be overrun once
	dead    bool  // of no more use
	left    int   // bytes that may still come before the next exchange
	failed  error // of the last read
}

// maxExchange bounds what comes in one exchange, and unasked after it, in bytes.
// A whole inspection of a large cluster stays below.
const maxExchange = 1 << 20

var errTooMuch = wrong{cluster.ReasonBadAnswer, "sends more than was asked for"}

// remains is for how long what has come is read after the deadline of an
// exchange. A process that was stopped until then finds the answer waiting, and
// yet a read would only say that its time is over.
const remains = 10 * time.Millisecond

// reader decodes messages. It belongs to one wire at a time.
type reader struct {
	*pgproto3.Frontend
	head []byte // to be read before the wire
	wire *wire
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	return r.wire.read(p)
}

// read reads what comes, as far as it may.
func (w *wire) read(p []byte) (int, error) {
	if w.left <= 0 {
		w.failed = errTooMuch
		return 0, errTooMuch
	}
	n, err := w.conn.Read(p[:min(len(p), w.left)])
	w.left -= n
	w.failed = err
	return n, err
}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.Frontend = pgproto3.NewFrontend(r, io.Discard)
	r.SetMaxBodyLen(maxMessage)
	return r
}}

// request is messages to be sent together, and once: its memory is used again.
type request struct {
	bytes []byte
	err   error
}

var requests = sync.Pool{New: func() any { return &request{} }}

func newRequest() *request { return requests.Get().(*request) }

// add takes the messages with one more, as its method Encode gives them.
func (q *request) add(bytes []byte, err error) {
	if q.err == nil {
		q.bytes, q.err = bytes, err
	}
}

// send sends a request, which must not be used after that.
func (w *wire) send(q *request) error {
	err := q.err
	if err == nil {
		_, err = w.conn.Write(q.bytes)
	}
	q.bytes, q.err = q.bytes[:0], nil
	requests.Put(q)
	w.dead = w.dead || err != nil
	return err
}

// receive returns the next message, which holds until the next call or rest. An
// error with which the server ended the session is returned as an error.
func (w *wire) receive() (pgproto3.BackendMessage, error) {
	message, err := w.next()
	if w.timed && errors.Is(err, os.ErrDeadlineExceeded) {
		w.timed = false
		if err := w.conn.SetReadDeadline(time.Now().Add(remains)); err != nil {
			return nil, err
		}
		return w.next()
	}
	return message, err
}

func (w *wire) next() (pgproto3.BackendMessage, error) {
	if w.reader == nil {
		n, err := w.read(w.first[:])
		if n == 0 {
			return nil, ended(err)
		}
		w.reader = readers.Get().(*reader)
		w.reader.head, w.reader.wire = w.first[:n], w
	}
	message, err := w.reader.Receive()
	switch {
	case err != nil && w.failed == nil: // even the end of a text can be called that of a connection
		return nil, wrong{cluster.ReasonBadAnswer, "sends what is no message: " + err.Error()}
	case err != nil:
		return nil, err
	}
	if said, ok := message.(*pgproto3.ErrorResponse); ok {
		if e := pgconn.ErrorResponseToPgError(said); fatal(e) {
			return nil, e
		}
	}
	return message, nil
}

// ended returns the error of a read that gave nothing.
func ended(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// rest gives the reader back if it has nothing more to read. It must be called
// after a whole message.
func (w *wire) rest() {
	if r := w.reader; r != nil && r.ReadBufferLen() == 0 && len(r.head) == 0 {
		r.wire, w.reader = nil, nil
		readers.Put(r)
	}
}

// listen reads what the server says unasked, none of which matters, until the
// connection ends or its read deadline passes; after the latter it is as good
// as before.
func (w *wire) listen() error {
	for {
		_, err := w.receive()
		if err != nil {
			w.dead = !errors.Is(err, os.ErrDeadlineExceeded)
			return err
		}
		w.rest()
	}
}

// goodbye tells the server that the session ends, without waiting for it.
func (w *wire) goodbye() {
	q := newRequest()
	q.add((&pgproto3.Terminate{}).Encode(q.bytes))
	_ = w.send(q) // it hears of the end anyway
}
