package postgres

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// packet is a message of the protocol.
func packet(kind byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

func authentication(code uint32, body string) []byte {
	return packet('R', append(binary.BigEndian.AppendUint32(nil, code), body...)...)
}

// repeat sends a message until the client has had enough, and counts the bytes.
func repeat(sent *atomic.Int64, message []byte, pause time.Duration) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			n, err := conn.Write(message)
			sent.Add(int64(n))
			if err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// greeted reads the startup message and then serves.
func greeted(serve func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := pgproto3.NewBackend(conn, conn).ReceiveStartupMessage(); err == nil {
			serve(conn)
		}
	}
}

// challenger begins SCRAM and sends a challenge that goes on from the client's
// nonce, as it is given.
func challenger(challenge func(nonce string) string) func(net.Conn) {
	return greeted(func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		conn.Write(authentication(10, "SCRAM-SHA-256\x00\x00"))
		must := backend.SetAuthType(pgproto3.AuthTypeSASL)
		message, err := backend.Receive()
		if must != nil || err != nil {
			return
		}
		first, ok := message.(*pgproto3.SASLInitialResponse)
		if !ok {
			return
		}
		_, nonce, _ := strings.Cut(string(first.Data), "r=")
		conn.Write(authentication(11, challenge(nonce)))
		silence(conn)
	})
}

// Before there is a session a server has neither more of our memory nor more of
// our time than it is due.
func TestBoundsBeforeTheSession(t *testing.T) {
	const limit = 300 * time.Millisecond
	salt := base64.StdEncoding.EncodeToString([]byte("salt"))
	iterations := func(n string) func(net.Conn) {
		return challenger(func(nonce string) string { return "r=" + nonce + "x,s=" + salt + ",i=" + n })
	}
	var sent atomic.Int64
	inside := authentication(0, "")
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  cluster.Reason
	}{
		{"endless notices", greeted(repeat(&sent, packet('N', make([]byte, 1000)...), 0)), cluster.ReasonBadAnswer},
		{"endless parameters", greeted(repeat(&sent, bytes.Join([][]byte{inside, packet('S', []byte("x\x00y\x00")...)}, nil), 0)), cluster.ReasonBadAnswer},
		{"parameters after the welcome", greeted(func(conn net.Conn) {
			conn.Write(inside)
			repeat(&sent, packet('S', []byte("x\x00y\x00")...), 0)(conn)
		}), cluster.ReasonBadAnswer},
		{"a notice now and then", greeted(repeat(&sent, packet('N', 0), 20*time.Millisecond)), cluster.ReasonTimeout},
		{"a byte now and then", greeted(func(conn net.Conn) {
			conn.Write(binary.BigEndian.AppendUint32([]byte{'R'}, 1000))
			repeat(&sent, []byte{0}, 20*time.Millisecond)(conn)
		}), cluster.ReasonTimeout},
		{"a message of 1 GiB", greeted(func(conn net.Conn) {
			conn.Write(binary.BigEndian.AppendUint32([]byte{'D'}, 1<<30))
			repeat(&sent, make([]byte, 1<<16), 0)(conn)
		}), cluster.ReasonBadAnswer},
		{"a negative length", greeted(func(conn net.Conn) { conn.Write([]byte{'R', 0xff, 0xff, 0xff, 0xff}); silence(conn) }), cluster.ReasonBadAnswer},
		{"a length below itself", greeted(func(conn net.Conn) { conn.Write([]byte{'R', 0, 0, 0, 3}); silence(conn) }), cluster.ReasonBadAnswer},
		{"an authentication without a code", greeted(func(conn net.Conn) { conn.Write(packet('R')); silence(conn) }), cluster.ReasonBadAnswer},
		{"a session without a welcome", greeted(func(conn net.Conn) { conn.Write(packet('Z', 'I')); silence(conn) }), cluster.ReasonBadAnswer},
		{"a malformed error", greeted(func(conn net.Conn) { conn.Write(packet('E', 'S')); silence(conn) }), cluster.ReasonBadAnswer},
		{"unknown authentication", greeted(func(conn net.Conn) { conn.Write(authentication(99, "")); silence(conn) }), cluster.ReasonAuth},
		{"GSSAPI", greeted(func(conn net.Conn) { conn.Write(authentication(7, "")); silence(conn) }), cluster.ReasonAuth},
		{"unknown mechanism", greeted(func(conn net.Conn) { conn.Write(authentication(10, "X\x00\x00")); silence(conn) }), cluster.ReasonAuth},
		{"a challenge unasked", greeted(func(conn net.Conn) { conn.Write(authentication(11, "r=x,s=eA==,i=1")); silence(conn) }), cluster.ReasonBadAnswer},
		{"a verdict unasked", greeted(func(conn net.Conn) { conn.Write(authentication(12, "v=")); silence(conn) }), cluster.ReasonBadAnswer},
		{"no process to be had", greeted(func(conn net.Conn) {
			conn.Write([]byte("Ecould not fork new process for connection: out of memory\n\x00"))
		}), cluster.ReasonResources},
		{"10 million iterations", iterations("10000000"), cluster.ReasonBadAnswer},
		{"more than a number holds", iterations("99999999999999999999"), cluster.ReasonBadAnswer},
		{"no iterations", iterations("0"), cluster.ReasonBadAnswer},
		{"a nonce of its own", challenger(func(string) string { return "r=abc,s=" + salt + ",i=1" }), cluster.ReasonBadAnswer},
		{"no nonce of its own", challenger(func(nonce string) string { return "r=" + nonce + ",s=" + salt + ",i=1" }), cluster.ReasonBadAnswer},
		{"no salt", challenger(func(nonce string) string { return "r=" + nonce + "x,s=,i=1" }), cluster.ReasonBadAnswer},
		{"nothing in the challenge", challenger(func(string) string { return "" }), cluster.ReasonBadAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent.Store(0)
			bad := fakeServer(t, c.serve)
			s := with(func(s *Settings) { s.ConnectTimeout = limit })
			began := time.Now()
			err := logsOn(t, s, bad)
			if took := time.Since(began); took > 5*limit {
				t.Errorf("took %v", took)
			}
			if f := classify(err); f.reason != c.want {
				t.Errorf("%s: %s", f.reason, f.text)
			}
			if most := int64(maxBefore + 8<<20); sent.Load() > most { // and what the kernel buffers
				t.Errorf("%d bytes were taken", sent.Load())
			}
		})
	}
}

// What costs us time to compute ends with the time for the connect.
func TestStretchEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := stretch(ctx, "x", []byte("salt"), 1<<40)
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	// The first of RFC 7677.
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	s := scram{mechanism: scramPlain, header: "n,,", password: "pencil", nonce: "rOprNGfwEbeRWgbNEkqO"}
	final, err := s.final(t.Context(), []byte("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s="+base64.StdEncoding.EncodeToString(salt)+",i=4096"))
	must(t, err)
	if s.signature == nil || !strings.HasPrefix(string(final), "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=") {
		t.Errorf("%s", final)
	}
}

// elsewhere is a connection to another host, as far as it says.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5432} }

// A password is sent as it is only where nobody can listen, or by order.
func TestClearText(t *testing.T) {
	for _, c := range []struct {
		name, require, binding string
		local                  bool
		asks                   uint32
		given                  bool
	}{
		{"to another host", "", "prefer", false, 3, false},
		{"within this host", "", "prefer", true, 3, true},
		{"by order", "password", "prefer", false, 3, true},
		{"by order among others", "scram-sha-256,password", "prefer", false, 3, true},
		{"not forbidden is no order", "!md5", "prefer", false, 3, false},
		{"forbidden", "!password", "prefer", true, 3, false},
		{"another demanded", "scram-sha-256", "prefer", true, 3, false},
		{"channel binding demanded", "", "require", true, 3, false},
		{"md5 to another host", "", "prefer", false, 5, true},
		{"md5 forbidden", "!md5", "prefer", true, 5, false},
		{"let in without any", "scram-sha-256", "prefer", true, 0, false},
		{"let in without binding", "", "require", true, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := with(func(s *Settings) { s.RequireAuth, s.ChannelBinding = c.require, c.binding })
			l, err := s.login(cluster.Node{Host: "h", Port: 1})
			must(t, err)
			ours, theirs := net.Pipe()
			defer ours.Close()
			got := make(chan []byte, 1)
			go func() {
				defer close(got)
				defer theirs.Close()
				if _, err := pgproto3.NewBackend(theirs, theirs).ReceiveStartupMessage(); err != nil {
					return
				}
				theirs.Write(authentication(c.asks, "salt"[:4*min(1, c.asks/5)]))
				buffer := make([]byte, 100)
				n, _ := theirs.Read(buffer)
				got <- buffer[:n]
			}()
			on := &logon{conn: ours, raw: elsewhere{ours}}
			if c.local {
				on.raw = tcpLike{ours}
			}
			err = l.enter(t.Context(), on)
			ours.Close()
			sent := len(<-got) > 0
			if sent != c.given || !c.given && classify(err).reason != cluster.ReasonAuth {
				t.Errorf("sent %v: %v", sent, err)
			}
		})
	}
}

type tcpLike struct{ net.Conn }

func (tcpLike) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5432} }
