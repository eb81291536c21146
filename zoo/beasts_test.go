package zoo

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// beast is one server of the zoo.
type beast struct {
	name  string
	serve func(net.Conn)
	want  []cluster.Reason // any of them; none: whatever it is
}

const (
	timeout      = cluster.ReasonTimeout
	disconnected = cluster.ReasonDisconnected
	badAnswer    = cluster.ReasonBadAnswer
	auth         = cluster.ReasonAuth
	misled       = cluster.ReasonMisconfigured
	inTLS        = cluster.ReasonTLS
)

func either(r ...cluster.Reason) []cluster.Reason { return r }

// nasty is text that must not come to a terminal.
const nasty = "\x1b]0;owned\a\x1b[31m red \u202e\u2066desrever\u2069 \u0085\u009b31m \r\n\t\xff\xfe\x00"

func packet(kind byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

func authentication(code uint32, body string) []byte {
	return packet('R', append(binary.BigEndian.AppendUint32(nil, code), body...)...)
}

func failure(code, text string) []byte {
	text = strings.ReplaceAll(text, "\x00", "")
	return packet('E', []byte("SFATAL\x00VFATAL\x00C"+code+"\x00M"+text+"\x00\x00")...)
}

func parameter(name, value string) []byte { return packet('S', []byte(name+"\x00"+value+"\x00")...) }

var (
	welcome = authentication(0, "")
	ready   = packet('Z', 'I')
	inside  = bytes.Join([][]byte{welcome, parameter("server_version", "15.1"), packet('K', 0, 0, 0, 1, 0, 0, 0, 2), ready}, nil)
)

// silence reads and never answers.
func silence(conn net.Conn) { io.Copy(io.Discard, conn) }

// say sends something once and is silent then.
func say(messages ...[]byte) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Write(bytes.Join(messages, nil))
		silence(conn)
	}
}

// hangUp sends something and closes.
func hangUp(messages ...[]byte) func(net.Conn) {
	return func(conn net.Conn) { conn.Write(bytes.Join(messages, nil)) }
}

// endless sends something for as long as it is taken.
func endless(message []byte, pause time.Duration) func(net.Conn) {
	if pause == 0 {
		message = bytes.Repeat(message, 1+(16<<10)/len(message))
	}
	return func(conn net.Conn) {
		for {
			if _, err := conn.Write(message); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// drip sends bytes one a second.
func drip(message []byte) func(net.Conn) {
	return func(conn net.Conn) {
		for i := 0; ; i++ {
			if _, err := conn.Write(message[i%len(message) : i%len(message)+1]); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
}

func then(all ...func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		for _, do := range all {
			do(conn)
		}
	}
}

func send(messages ...[]byte) func(net.Conn) {
	return func(conn net.Conn) { conn.Write(bytes.Join(messages, nil)) }
}

// greeted reads the startup message, refusing TLS, and then serves.
func greeted(serve func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		for {
			message, err := backend.ReceiveStartupMessage()
			if err != nil {
				return
			}
			if _, ok := message.(*pgproto3.SSLRequest); !ok {
				serve(conn)
				return
			}
			conn.Write([]byte{'N'})
		}
	}
}

// atTLS serves what comes after the request for TLS.
func atTLS(serve func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		var request [8]byte
		if _, err := io.ReadFull(conn, request[:]); err == nil {
			serve(conn)
		}
	}
}

// scram begins SCRAM with the challenge that it is given for a nonce, and then
// says its last words.
func scram(challenge func(nonce string) string, last ...[]byte) func(net.Conn) {
	return greeted(func(conn net.Conn) {
		conn.Write(authentication(10, "SCRAM-SHA-256\x00\x00"))
		backend := pgproto3.NewBackend(conn, conn)
		if backend.SetAuthType(pgproto3.AuthTypeSASL) != nil {
			return
		}
		message, err := backend.Receive()
		first, ok := message.(*pgproto3.SASLInitialResponse)
		if err != nil || !ok {
			return
		}
		_, nonce, _ := strings.Cut(string(first.Data), "r=")
		say(append([][]byte{authentication(11, challenge(nonce))}, last...)...)(conn)
	})
}

var salt = base64.StdEncoding.EncodeToString([]byte("salt"))

func iterations(n string) func(string) string {
	return func(nonce string) string { return "r=" + nonce + "x,s=" + salt + ",i=" + n }
}

// strangers are those that never come to a session.
func strangers() []beast {
	return []beast{
		{"is silent", silence, either(timeout)},
		{"closes at once", func(net.Conn) {}, either(disconnected)},
		{"resets", func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }, either(disconnected)},
		{"speaks HTTP", say([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), either(badAnswer)},
		{"never ends HTTP", endless([]byte("HTTP/1.1 200 OK\r\n"), 0), either(badAnswer)},
		{"stalls in TLS", atTLS(say([]byte{'S'})), either(timeout)},
		{"garbage for TLS", atTLS(say([]byte{'S'}, bytes.Repeat([]byte(nasty), 100))), nil},
		{"endless TLS", atTLS(then(send([]byte{'S'}), endless([]byte{22, 3, 3, 0x3f, 0xff, 2, 0xff, 0xff, 0xff}, 0))), nil},
		{"an error for TLS", atTLS(hangUp([]byte("E"), []byte(nasty))), either(badAnswer, disconnected)},
		{"drips before TLS", atTLS(then(send([]byte{'S'}), drip([]byte{22, 3, 3, 0x3f}))), either(timeout)},
		{"closes for TLS", atTLS(hangUp([]byte{'S'})), either(disconnected, inTLS)},
		{"endless notices", greeted(endless(packet('N', []byte("SNOTICE\x00M"+strings.Repeat("x", 1000)+"\x00\x00")...), 0)), either(badAnswer)},
		{"endless parameters", greeted(then(send(welcome), endless(parameter("x", "y"), 0))), either(badAnswer)},
		{"drips its welcome", greeted(drip(welcome)), either(timeout)},
		{"a notice a second", greeted(endless(packet('N', 0), time.Second)), either(timeout)},
		{"1 GiB for a welcome", greeted(then(send(binary.BigEndian.AppendUint32([]byte{'R'}, 1<<30)), endless([]byte{0}, 0))), either(badAnswer)},
		{"a negative length", greeted(say([]byte{'R', 0xff, 0xff, 0xff, 0xf0})), either(badAnswer)},
		{"no length", greeted(say([]byte{'R', 0, 0, 0, 0})), either(badAnswer)},
		{"a huge error", greeted(hangUp(failure("28000", strings.Repeat("no ", 20_000)))), either(auth)},
		{"an error to be seen", greeted(hangUp(failure("28000", nasty))), either(auth)},
		{"a code to be seen", greeted(hangUp(failure("\x1b[2J", "x"))), either(badAnswer)},
		{"10 million iterations", scram(iterations("10000000")), either(badAnswer)},
		{"a million iterations", scram(iterations("1000000")), either(timeout)},
		{"a nonce of its own", scram(func(string) string { return "r=x,s=" + salt + ",i=1" }), either(badAnswer)},
		{"a wrong proof", scram(iterations("1"), authentication(12, "v="+salt)), either(auth)},
		{"welcome without proof", scram(iterations("1"), inside), either(auth)},
		{"unknown authentication", greeted(say(authentication(77, nasty))), either(auth)},
		{"a mechanism to be seen", greeted(say(authentication(10, nasty+"\x00\x00"))), either(auth)},
		{"asks for a password twice", greeted(say(authentication(3, ""), authentication(3, ""))), either(badAnswer)},
		{"ready before the welcome", greeted(say(ready)), either(badAnswer)},
		{"a row before the session", greeted(say(welcome, packet('D', 0, 1, 0, 0, 0, 1, 't'))), either(badAnswer)},
		{"closes after the hello", greeted(hangUp()), either(disconnected)},
		{"closes after the welcome", greeted(hangUp(welcome)), either(disconnected)},
		{"closes within a message", greeted(hangUp(welcome[:7])), either(disconnected)},
		{"closes when ready", greeted(hangUp(inside)), either(disconnected)},
		{"is silent when ready", greeted(say(inside)), either(timeout)},
	}
}

// row is a DataRow of these fields.
func row(fields ...string) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
	for _, f := range fields {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(f))), f...)
	}
	return packet('D', body...)
}

func done() []byte { return packet('C', []byte("SELECT 1\x00")...) }

// hosts are those that do come to a session.
func hosts() []beast {
	role := func(answer ...[]byte) func(net.Conn) {
		return server{role: func(conn net.Conn) { send(answer...)(conn) }}.serve
	}
	each := func(answer ...[]byte) func(net.Conn) {
		return server{all: func(conn net.Conn) { send(answer...)(conn) }}.serve
	}
	table := func(answer ...[]byte) func(net.Conn) {
		return server{row: func(conn net.Conn) { send(answer...)(conn) }}.serve
	}
	wide := make([]string, 1600)
	return []beast{
		{"endless rows", server{role: endless(row("t"), 0)}.serve, either(badAnswer, timeout)},
		{"endless heartbeat rows", server{row: endless(row("1", "m", "5", "6"), 0)}.serve, either(badAnswer, timeout)},
		{"endless notices in a session", server{role: endless(packet('N', 0), 0)}.serve, either(badAnswer, timeout)},
		{"endless copy", server{role: then(send(packet('H', 0, 0, 0)), endless(packet('d', make([]byte, 1000)...), 0))}.serve, either(badAnswer, timeout)},
		{"a row of 1 GiB", server{role: then(send(binary.BigEndian.AppendUint32([]byte{'D'}, 1<<30)), endless([]byte{0}, 0))}.serve, either(badAnswer)},
		{"drips a row", server{role: drip(row("t"))}.serve, either(timeout)},
		{"rows without fields", each(row(), done()), either(badAnswer)},
		{"rows of one field", each(row("t"), done()), either(badAnswer)},
		{"a short heartbeat row", table(row("1", "m"), done()), either(badAnswer)},
		{"rows of 1600 fields", each(row(wide...), done()), nil},
		{"a count that lies", each(packet('D', 0xff, 0xff, 0, 0, 0, 1, 't'), done()), either(badAnswer)},
		{"a field beyond its row", each(packet('D', 0, 1, 0x7f, 0xff, 0xff, 0xff, 't'), done()), either(badAnswer)},
		{"a field of length -2", each(packet('D', 0, 1, 0xff, 0xff, 0xff, 0xfe), done()), either(badAnswer)},
		{"an empty row", each(packet('D'), done()), either(badAnswer)},
		{"maybe", role(row("maybe"), done()), either(badAnswer)},
		{"neither", role(packet('D', 0, 1, 0xff, 0xff, 0xff, 0xff), done()), either(badAnswer)},
		{"both", role(row("t"), row("f"), done()), either(badAnswer)},
		{"a role to be seen", role(row(nasty), done()), either(badAnswer)},
		{"an error for all", each(failure("XX000", strings.Repeat(nasty, 200))), either(badAnswer, disconnected)},
		{"copy", role(packet('G', 0, 0, 0)), either(badAnswer, timeout)},
		{"ready twice", role(row("t"), done(), ready, ready, ready), nil},
		{"answers twice", role(row("t"), done(), row("t"), done()), either(badAnswer)},
		{"closes within a row", server{role: func(conn net.Conn) { conn.Write(row("t")[:6]); conn.Close() }}.serve, either(disconnected)},
		{"a heartbeat row to be seen", table(row("1", strings.ReplaceAll(nasty, "\x00", ""), "5", "6"), done()), nil},
		{"a name without end", table(row("1", strings.Repeat("m", 100_000), "5", "6"), done()), nil},
		{"numbers out of range", table(row("99999999999999999999", "m", "-9223372036854775808", "1e400"), done()), nil},
		{"the end of time", table(row("2147483647", "m", "9223372036854", "999999"), done()), nil},
		{"a thousand notices a second", server{unasked: packet('N', 0)}.serve, nil},
		{"unasked answers", server{unasked: bytes.Join([][]byte{row("f"), done(), ready}, nil)}.serve, either(badAnswer, disconnected, timeout)},
	}
}

// server speaks enough of the protocol to be looked at as a slave. What it is
// given answers in the place of what it would.
type server struct {
	role, row, all func(net.Conn)
	unasked        []byte // a thousand times a second
}

func (s server) serve(conn net.Conn) { greeted(s.session)(conn) }

func (s server) session(conn net.Conn) {
	conn.Write(inside)
	if s.unasked != nil {
		go endless(s.unasked, time.Millisecond)(conn)
	}
	backend := pgproto3.NewBackend(conn, conn)
	texts := map[string]string{}
	bound := ""
	for backend.Flush() == nil {
		message, err := backend.Receive()
		if err != nil {
			return
		}
		switch message := message.(type) {
		case *pgproto3.Query:
			conn.Write(packet('C', []byte("SET\x00")...))
			conn.Write(ready)
		case *pgproto3.Parse:
			texts[message.Name] = message.Query
			backend.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			if message.ObjectType == 'S' {
				backend.Send(&pgproto3.ParameterDescription{})
			}
			backend.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("x"), DataTypeOID: 25}}})
		case *pgproto3.Bind:
			bound = texts[message.PreparedStatement]
			backend.Send(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			if backend.Flush() != nil {
				return
			}
			s.answer(conn, bound)
		case *pgproto3.Sync:
			conn.Write(ready)
		case *pgproto3.Terminate:
			return
		}
	}
}

func (s server) answer(conn net.Conn, sql string) {
	isRole, isRow := strings.HasPrefix(sql, "SELECT pg_is_in_recovery()") && len(sql) < 40, strings.Contains(sql, "to_jsonb(h)")
	switch {
	case s.all != nil:
		s.all(conn)
	case isRole && s.role != nil:
		s.role(conn)
	case isRow && s.row != nil:
		s.row(conn)
	case isRole:
		send(row("t"), done())(conn)
	default:
		send(packet('C', []byte("SELECT 0\x00")...))(conn)
	}
}
