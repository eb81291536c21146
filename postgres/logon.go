package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// logon is a connection to which a server has let us.
type logon struct {
	conn    net.Conn // with TLS if there is any
	raw     net.Conn // below that
	meter   *meter
	version string // of the server, as it says
	pid     uint32
}

// maxBefore bounds what is read from a server before a session is established,
// in bytes.
const maxBefore = 1 << 20

// meter counts what is read from a connection until it is stopped.
type meter struct {
	net.Conn
	left int64 // bytes; below 0 when it was stopped
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left < 0 {
		return m.Conn.Read(p)
	}
	if m.left == 0 {
		return 0, wrong{cluster.ReasonBadAnswer, fmt.Sprintf("the server sent %d bytes and no session is established yet", maxBefore)}
	}
	n, err := m.Conn.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	return n, err
}

// stop lifts the limit. It must be called by who reads.
func (m *meter) stop() { m.left = -1 }

// connect logs on, at the address that worked last if it can be. ctx must have
// a deadline.
func (l *login) connect(ctx context.Context, w *way) (*logon, error) {
	list, err := addresses(ctx, l.node)
	if err != nil {
		return nil, err
	}
	on, at, err := race(ctx, w.ordered(list), l.at)
	if err == nil {
		w.last = at
	}
	return on, err
}

// at logs on at one address. What libpq tries with and without TLS is tried here
// by the same rules. It calls reached when there is a connection.
func (l *login) at(ctx context.Context, a address, reached func()) (*logon, error) {
	first, second := offered, without
	switch {
	case l.tls == nil:
		first, second = without, none
	case l.mode == "allow":
		first, second = without, demanded
	case l.mode != "prefer":
		first, second = demanded, none
	}
	on, secured, err := l.try(ctx, a, first, reached)
	again := err != nil && second != none && ctx.Err() == nil && secured == (first == offered) && turnedAway(err)
	if !again {
		return on, err
	}
	on, _, err2 := l.try(ctx, a, second, func() {})
	if err2 != nil {
		return nil, errors.Join(err, err2)
	}
	return on, nil
}

// security is how a connection is to have TLS.
type security int

const (
	none     security = iota // no connection at all
	without                  // TLS is not asked for
	offered                  // asked for; no is taken for an answer
	demanded                 // asked for and needed
)

// turnedAway reports whether a connection failed in a way that another one, with
// or without TLS, may not.
func turnedAway(err error) bool {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return strings.HasPrefix(said.Code, "28")
	}
	return as[handshakeError](err) || classify(err).reason == cluster.ReasonAuth
}

// settled reports whether no other address of the server would do better.
func settled(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && (said.Code == "28P01" || said.Code == "3D000" || said.Code == "42501")
}

// try makes one connection and logs on. It reports whether that had TLS, or came
// to shaking hands for it.
func (l *login) try(ctx context.Context, a address, how security, reached func()) (on *logon, secured bool, err error) {
	raw, err := dial(ctx, a)
	if err != nil {
		return nil, false, err
	}
	reached()
	if deadline, ok := ctx.Deadline(); ok {
		raw.SetDeadline(deadline)
	}
	unhook := context.AfterFunc(ctx, func() { raw.SetDeadline(past()) })
	on = &logon{raw: raw, meter: &meter{raw, maxBefore}}
	on.conn = on.meter
	secured, err = l.speak(ctx, on, how)
	if !unhook() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, secured, fmt.Errorf("%s: %w", a.name, err)
	}
	return on, secured, nil
}

// speak does all that is said on a connection before a session.
func (l *login) speak(ctx context.Context, on *logon, how security) (secured bool, err error) {
	if how != without {
		if secured, err = l.secure(ctx, on, how == demanded); err != nil {
			return secured, err
		}
	}
	return secured, l.enter(ctx, on)
}

// secure puts TLS on a connection if the server wants it, too.
func (l *login) secure(ctx context.Context, on *logon, needed bool) (bool, error) {
	request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 80877103)
	if _, err := on.conn.Write(request); err != nil {
		return false, err
	}
	// No more than this byte is read: what comes unencrypted behind it would
	// else be taken for encrypted.
	var answer [1]byte
	if _, err := io.ReadFull(on.conn, answer[:]); err != nil {
		return false, ended(err)
	}
	switch {
	case answer[0] == 'S':
	case answer[0] == 'N' && !needed:
		return false, nil
	case answer[0] == 'N':
		return false, errors.New("server refused TLS connection")
	case answer[0] == 'E':
		// What it says could be anybody's word.
		return false, wrong{cluster.ReasonBadAnswer, "the server answered the request for TLS with an error"}
	default:
		return false, wrong{cluster.ReasonBadAnswer, fmt.Sprintf("the server answered the request for TLS with %q: it may be no PostgreSQL", answer[:])}
	}
	conn := tls.Client(on.conn, l.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return true, handshakeError{err}
	}
	on.conn = conn
	return true, nil
}

// handshakeError is why TLS could not be agreed on.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

func (e handshakeError) Error() string { return "tls error: " + e.error.Error() }
