package fleet

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// conn is a client's connection to a node, as seen by the node.
type conn struct {
	fleet   *Fleet
	node    *node
	raw     *net.TCPConn
	backend *pgproto3.Backend
	inbox   []byte // read while the node hung

	prepared map[string]*statement
	bound    *statement
	beat     row  // bound to it
	skipping bool // what comes before the next sync, after an error
}

// errNonsense ends a connection on which there was an answer that is none.
var errNonsense = errors.New("the node talks nonsense")

// inboxBound is how much a client may say to a node that hangs, in bytes.
const inboxBound = 1 << 16

func newConn(f *Fleet, n *node, raw *net.TCPConn) *conn {
	c := &conn{fleet: f, node: n, raw: raw, prepared: map[string]*statement{}}
	c.backend = pgproto3.NewBackend(c, raw)
	return c
}

// serve speaks with the client until one of them ends it.
func (c *conn) serve() {
	defer c.fleet.forget(c)
	defer c.raw.Close()
	if !c.greet() {
		return
	}
	for {
		message, err := c.backend.Receive()
		if err != nil || !c.handle(message) {
			return
		}
	}
}

// Read is how the backend reads. It is called when nothing that was read is
// left unanswered, so this is the time to send the answers, and the time for a
// sick node to show it: before the request takes effect.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.backend.Flush(); err != nil {
		return 0, err
	}
	n := copy(p, c.inbox)
	c.inbox = c.inbox[n:]
	for n == 0 {
		var err error
		if n, err = c.raw.Read(p); err != nil && !c.thawed(err) {
			return 0, err
		}
	}
	if err := c.suffer(); err != nil {
		return 0, err
	}
	return n, nil
}

// thawed tells whether err only says that the node was thawed.
func (c *conn) thawed(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && c.raw.SetReadDeadline(time.Time{}) == nil
}

func (c *conn) fault() fault {
	c.fleet.mu.Lock()
	defer c.fleet.mu.Unlock()
	return c.node.fault
}

// suffer does to a request what the node's fault does.
func (c *conn) suffer() error {
	fault := c.fault()
	for ; !fault.hung.IsZero(); fault = c.fault() {
		if err := c.hang(); err != nil {
			return err
		}
	}
	if fault.slow > 0 {
		select {
		case <-time.After(fault.slow):
		case <-c.fleet.ending:
		}
	}
	if fault.garbage {
		_, err := c.raw.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n\x00\xff\x00\xff"))
		return errors.Join(errNonsense, err)
	}
	return nil
}

// hang waits until the node is thawed or the client goes. What the client says
// meanwhile is kept for later.
func (c *conn) hang() error {
	var some [512]byte
	n, err := c.raw.Read(some[:])
	c.inbox = append(c.inbox, some[:n]...)
	switch {
	case len(c.inbox) > inboxBound:
		return io.ErrShortBuffer
	case err != nil && !c.thawed(err):
		return err
	}
	return nil
}

// greet begins a session and returns false if there is to be none.
func (c *conn) greet() bool {
	for {
		message, err := c.backend.ReceiveStartupMessage()
		if err != nil {
			return false
		}
		switch message.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := c.raw.Write([]byte("N")); err != nil {
				return false
			}
		case *pgproto3.StartupMessage:
			return c.welcome()
		default:
			return false
		}
	}
}

func (c *conn) welcome() bool {
	if code := c.fault().refusal; code != "" {
		c.backend.Send(&pgproto3.ErrorResponse{
			Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: refusalText(code),
		})
		_ = c.backend.Flush() // the session ends either way
		return false
	}
	c.backend.Send(&pgproto3.AuthenticationOk{})
	c.backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.18"})
	c.backend.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	c.backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	c.backend.Send(&pgproto3.BackendKeyData{ProcessID: uint32(c.node.index + 1), SecretKey: []byte{1, 2, 3, 4}})
	c.ready()
	return true
}

func (c *conn) ready() { c.backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'}) }

// refusalText is what a server says with an SQLSTATE, as far as plusmoin goes
// by the text.
func refusalText(code string) string {
	switch code {
	case "57P03":
		return "the database system is starting up"
	case "53300":
		return "sorry, too many clients already"
	}
	return "refused by the fleet's script"
}
