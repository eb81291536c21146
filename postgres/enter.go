package postgres

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the protocol's, not ours
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// Before a session is established a message has at most so many bytes, and there
// are at most so many. A server has some twenty to send.
const (
	maxGreeting  = 1 << 16
	maxGreetings = 1000
)

// entrance is one try to be let in.
type entrance struct {
	*login
	on       *logon
	scram    *scram
	answered bool // a password, or the proof that we know it, was given
	inside   bool
}

// enter sends the startup message and does what the server asks for, until there
// is a session.
func (l *login) enter(ctx context.Context, on *logon) error {
	e := &entrance{login: l, on: on}
	parameters := maps.Clone(l.parameters)
	parameters["user"], parameters["database"] = l.user, l.database
	hello := pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: parameters}
	if err := e.send(hello.Encode(nil)); err != nil {
		return err
	}
	for range maxGreetings {
		kind, body, err := e.receive()
		if err != nil {
			return err
		}
		done, err := e.take(ctx, kind, body)
		if done || err != nil {
			return err
		}
	}
	return wrong{cluster.ReasonBadAnswer, fmt.Sprintf("the server sent %d messages and no session is established yet", maxGreetings)}
}

func (e *entrance) send(message []byte, err error) error {
	if err == nil {
		_, err = e.on.conn.Write(message)
	}
	return err
}

// receive reads one message and no byte more.
func (e *entrance) receive() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(e.on.conn, head[:]); err != nil {
		return 0, nil, ended(err)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > maxGreeting {
		return 0, nil, e.nonsense(head)
	}
	body = make([]byte, length-4)
	if _, err := io.ReadFull(e.on.conn, body); err != nil {
		return 0, nil, ended(err)
	}
	return head[0], body, nil
}

// nonsense explains a message of an impossible length. A server that cannot even
// start a process says so in plain text behind an E.
func (e *entrance) nonsense(head [5]byte) error {
	text := []byte(nil)
	if head[0] == 'E' {
		rest, _ := io.ReadAll(io.LimitReader(e.on.conn, maxText)) // as much as there is
		text, _, _ = bytes.Cut(append(slices.Clone(head[1:]), rest...), []byte{0})
	}
	if bytes.HasPrefix(text, []byte("could not fork")) {
		return wrong{cluster.ReasonResources, string(text)}
	}
	return wrong{cluster.ReasonBadAnswer, fmt.Sprintf("the server begins with %q: it may be no PostgreSQL", head[:])}
}

// take does what one message asks for, and reports whether there is a session.
func (e *entrance) take(ctx context.Context, kind byte, body []byte) (done bool, err error) {
	switch kind {
	case 'E':
		var said pgproto3.ErrorResponse
		if said.Decode(body) != nil {
			return false, wrong{cluster.ReasonBadAnswer, "the server sent a malformed error"}
		}
		return false, pgconn.ErrorResponseToPgError(&said)
	case 'N', 'v': // notices; an older protocol is what we ask for
		return false, nil
	case 'R':
		if e.inside || len(body) < 4 {
			break
		}
		return false, e.authenticate(ctx, binary.BigEndian.Uint32(body), body[4:])
	case 'S':
		if !e.inside {
			break
		}
		if name, rest, _ := bytes.Cut(body, []byte{0}); string(name) == "server_version" {
			value, _, _ := bytes.Cut(rest, []byte{0})
			e.on.version = string(value[:min(len(value), maxVersion)])
		}
		return false, nil
	case 'K':
		if !e.inside || len(body) < 4 {
			break
		}
		e.on.pid = binary.BigEndian.Uint32(body)
		return false, nil
	case 'Z':
		if e.inside && len(body) == 1 {
			return true, nil
		}
	}
	return false, wrong{cluster.ReasonBadAnswer, fmt.Sprintf("the server sent a message %q of %d bytes where none such can be", kind, len(body))}
}

// maxVersion bounds what is kept of a server's version, in bytes.
const maxVersion = 256

// authenticate answers one request for authentication.
func (e *entrance) authenticate(ctx context.Context, code uint32, body []byte) error {
	switch code {
	case pgproto3.AuthTypeOk:
		return e.admitted()
	case pgproto3.AuthTypeCleartextPassword:
		if err := e.mayAnswer(methodPassword); err != nil {
			return err
		}
		return e.say(e.password)
	case pgproto3.AuthTypeMD5Password:
		if err := e.mayAnswer(methodMD5); err != nil {
			return err
		}
		return e.say("md5" + hexMD5(hexMD5(e.password+e.user)+string(body)))
	case pgproto3.AuthTypeSASL:
		return e.offerScram(body)
	case pgproto3.AuthTypeSASLContinue:
		if e.scram == nil || e.scram.signature != nil {
			break
		}
		proof, err := e.scram.final(ctx, body)
		if err != nil {
			return err
		}
		return e.send((&pgproto3.SASLResponse{Data: proof}).Encode(nil))
	case pgproto3.AuthTypeSASLFinal:
		if e.scram == nil || e.scram.verified {
			break
		}
		e.answered = true
		return e.scram.verify(body)
	case pgproto3.AuthTypeGSS, pgproto3.AuthTypeSSPI:
		return wrong{cluster.ReasonAuth, "the server asks for GSSAPI or SSPI, which plusmoin cannot do: let pg_hba.conf ask its role for scram-sha-256 or a certificate"}
	default:
		return wrong{cluster.ReasonAuth, fmt.Sprintf("the server asks for a kind of authentication that plusmoin does not know (%d)", code)}
	}
	return wrong{cluster.ReasonBadAnswer, "SASL: the server's messages are out of order"}
}

// mayAnswer says what keeps a password from being given to the server.
func (e *entrance) mayAnswer(m method) error {
	_, secure := e.on.conn.(*tls.Conn)
	switch err := e.policy.check(m); {
	case err != nil:
		return err
	case e.scram != nil || e.answered:
		return wrong{cluster.ReasonBadAnswer, "the server asks for a password twice"}
	case m != methodSCRAM && e.binding == "require":
		return wrong{cluster.ReasonAuth, fmt.Sprintf("channel_binding is require, and the server asks for authentication by %s", m)}
	case m == methodPassword && !secure && !e.policy.clear && !isLocal(e.on.raw):
		return wrong{cluster.ReasonAuth, "the server asks for the password in clear text and the connection has no TLS, so it was not sent: " +
			"use sslmode require, or scram-sha-256 in pg_hba.conf; to send it all the same, set require_auth to password"}
	case e.password == "":
		return wrong{cluster.ReasonAuth, "the server asks for a password: " + e.lack}
	}
	return nil
}

// isLocal reports whether a connection does not leave this host.
func isLocal(conn net.Conn) bool {
	switch remote := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return remote.IP.IsLoopback()
	}
	return false
}

func (e *entrance) say(password string) error {
	e.answered = true
	return e.send((&pgproto3.PasswordMessage{Password: password}).Encode(nil))
}

// admitted says what is against being let in.
func (e *entrance) admitted() error {
	if e.scram != nil && !e.scram.verified {
		return wrong{cluster.ReasonAuth, "SASL: the server let us in without a proof that it knows the password"}
	}
	if !e.answered {
		if err := e.policy.check(methodNone); err != nil {
			return err
		}
	}
	if e.binding == "require" && (e.scram == nil || e.scram.mechanism != scramBound) {
		return wrong{cluster.ReasonAuth, "channel_binding is require, and the server let us in without it"}
	}
	e.inside = true
	return nil
}

// offerScram chooses among the mechanisms that the server has.
func (e *entrance) offerScram(body []byte) error {
	if err := e.mayAnswer(methodSCRAM); err != nil {
		return err
	}
	mechanisms := strings.Split(string(body), "\x00")
	has := func(m string) bool { return slices.Contains(mechanisms, m) }
	mechanism, header, binding := scramPlain, "n,,", []byte(nil)
	conn, secure := e.on.conn.(*tls.Conn)
	switch {
	case secure && has(scramBound) && e.binding != "disable":
		var err error
		if binding, err = endPoint(conn.ConnectionState().PeerCertificates[0]); err != nil {
			return err
		}
		mechanism, header = scramBound, "p=tls-server-end-point,,"
	case e.binding == "require":
		return wrong{cluster.ReasonAuth, "channel_binding is require, and the connection has no TLS or the server does not offer it"}
	case !has(scramPlain):
		return wrong{cluster.ReasonAuth, fmt.Sprintf("the server offers none but %.100q", mechanisms)}
	case secure && e.binding != "disable":
		header = "y,,"
	}
	e.scram = newScram(mechanism, header, binding, e.password)
	return e.send((&pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: e.scram.first()}).Encode(nil))
}

func hexMD5(text string) string {
	sum := md5.Sum([]byte(text)) //nolint:gosec // the protocol's, not ours
	return hex.EncodeToString(sum[:])
}
