package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// dice makes things of the bytes of a fuzzer. Without bytes all is 0.
type dice struct{ rest []byte }

func (d *dice) roll(sides int) int {
	if len(d.rest) == 0 {
		return 0
	}
	n := int(d.rest[0]) % sides
	d.rest = d.rest[1:]
	return n
}

// take returns up to so many of the fuzzer's own bytes.
func (d *dice) take(n int) []byte {
	n = min(n, len(d.rest))
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

// value is a column: null, what a server may say, or anything.
func (d *dice) value() []byte {
	likely := []string{"", "t", "f", "0", "-1", "1", "7", "null", "4294967296", "9223372036854775807", "99999999999999999999", `"x"`,
		"0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF", "1/2/3", "000000020000000000000003", "ZZ", "streaming", "127.0.0.1", "::1", "fe80::1%eth0",
		"m:1", "::1:5432", "public", `a"b`, "\x00", "m\u202e:1", "m:1\u200b", "\xff\xfe", "150018", strings.Repeat("x", 300), strings.Repeat("é", 2000)}
	switch kind := d.roll(len(likely) + 3); {
	case kind < len(likely):
		return []byte(likely[kind])
	case kind == len(likely):
		return nil
	default:
		return d.take(d.roll(64))
	}
}

func (d *dice) reply() reply {
	var r reply
	for range d.roll(4) {
		row := make([][]byte, d.roll(17))
		for i := range row {
			row[i] = d.value()
		}
		r.keep(row)
	}
	r.affected = int64(d.roll(3))
	if d.roll(5) == 1 {
		codes := []string{"42501", "42P01", "26000", "57014", "0A000", "", "4", "\u202e1234", "XX000"}
		r.err = &pgconn.PgError{Code: codes[d.roll(len(codes))], Message: string(d.value()), Severity: string(d.value())}
	}
	return r
}

// FuzzReply feeds answers of any shape to whatever reads them.
func FuzzReply(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1, 1, 0, 0, 1, 6, 5, 5, 22, 6, 6, 6, 0, 0, 1, 13, 1, 13, 13, 1, 1, 0})
	f.Add([]byte("\x01\x01\x02\x01\x00\x01\x05\x05\x1a\x06\x06\x00\x00\x01\x05\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data}
		s := &session{identity: decodeIdentity(d.reply(), d.reply()), schema: decodeSchema(d.reply())}
		checkFacts(t, s.identity)
		if quoted := in(s.schema, "public.heartbeat"); strings.Count(quoted, `"`)%2 != 0 || strings.ContainsRune(quoted, 0) {
			t.Errorf("schema %q", quoted)
		}
		replies := []reply{d.reply(), d.reply(), d.reply()}[:2+d.roll(2)]
		seen, code := s.judge(replies)
		checkFacts(t, seen.Facts)
		if seen.Outcome == cluster.Connecting || (seen.Outcome == cluster.Failed) != (seen.Reason != "") || seen.Outcome == cluster.Failed && seen.Error == "" {
			t.Errorf("%+v", seen)
		}
		if seen.Outcome == cluster.Failed && seen.Row != nil || code != "" && code != otherServer && len(code) != 5 {
			t.Errorf("%+v, code %q", seen, code)
		}
		checkText(t, seen.Error, 1024)
		if r := seen.Row; r != nil {
			checkText(t, r.Master, maxName+2) // a name may get brackets
			if r.Cluster < cluster.NoCluster || r.Cluster > cluster.MaxCluster || r.Stamp < 0 {
				t.Errorf("%+v", r)
			}
		}
		o := settle(d.reply())
		checkText(t, o.Error, 1024)
		if (o.Verdict == cluster.Refused) != (o.Reason != "") {
			t.Errorf("%+v", o)
		}
	})
}

func checkFacts(t *testing.T, f cluster.Facts) {
	t.Helper()
	checkText(t, f.ServerAddr, maxName)
	checkText(t, f.Receiver.Upstream, maxName+8)
	if f.ServerPort < 0 || f.ServerPort > 65535 || f.ServerVersion < 0 || f.Started < 0 || f.Receiver.LastMessage < 0 {
		t.Errorf("%+v", f)
	}
}

// checkText judges a text by another measure than the one that it was made by.
func checkText(t *testing.T, text string, most int) {
	t.Helper()
	if len(text) > most || !utf8.ValidString(text) {
		t.Errorf("%d bytes, %q", len(text), text)
	}
	for _, r := range text {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) || r >= 0xfe00 && r <= 0xfe0f {
			t.Errorf("%U in %q", r, text)
		}
	}
}

// FuzzText feeds texts and names.
func FuzzText(f *testing.F) {
	f.Add("db1:5432")
	f.Add("db1\u202e:5432\u0085\ufeff")
	f.Add(strings.Repeat("\xff", 2000))
	f.Add(strings.Repeat("\U000e0041é", 400))
	f.Fuzz(func(t *testing.T, text string) {
		checkText(t, name(text), maxName)
		checkText(t, tidy(text), maxTextBytes+3)
		checkText(t, refusal(&pgconn.PgError{Code: text, Message: text}).text, 1024)
		checkText(t, refusal(&pgconn.PgError{Code: "42501", Message: text}).text, 1024)
		checkText(t, refusal(&pgconn.PgError{Code: "08P01", Message: text}).text, 1024)
		if once := name(text); name(once) != once {
			t.Errorf("%q is not the same twice", text)
		}
	})
}

// messages writes messages as the fuzzer has it: known and unknown ones, with
// lengths that are right, wild or cut off.
func (d *dice) messages() []byte {
	const types = "CDDDEENNSSAZT123IKRGHWdcnst\x00\xff"
	var all []byte
	for len(d.rest) > 0 && len(all) < 3*maxExchange {
		kind := types[d.roll(len(types))]
		body := d.body(kind)
		length := len(body) + 4
		switch d.roll(12) {
		case 1:
			length = []int{-1, 0, 3, 1 << 16, 1 << 30, -1 << 31}[d.roll(6)]
		case 2:
			length = maxMessage + 5
		case 3:
			length--
		case 4: // again and again
			one := append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(length)), body...)
			for range d.roll(256) * 40 {
				if all = append(all, one...); len(all) > 3*maxExchange {
					break
				}
			}
		}
		all = append(binary.BigEndian.AppendUint32(append(all, kind), uint32(length)), body...)
	}
	return all
}

func (d *dice) body(kind byte) []byte {
	switch kind {
	case 'Z':
		return []byte{'I'}
	case 'D':
		width := d.roll(16)
		body := binary.BigEndian.AppendUint16(nil, uint16(width+d.roll(2)))
		for range width {
			value := d.value()
			body = append(binary.BigEndian.AppendUint32(body, uint32(len(value)-d.roll(2))), value...)
		}
		return body
	case 'E', 'N':
		var body []byte
		for range d.roll(8) {
			body = append(append(append(body, "SVCMHR\x00z"[d.roll(8)]), d.value()...), 0)
		}
		return append(body, 0)
	case 'C':
		return append([]byte("UPDATE "), append(d.value(), 0)...)
	default:
		return append(d.value(), d.take(d.roll(8))...)
	}
}

// FuzzWire feeds what a server may send in the middle of a session. Whatever it
// is, the exchange ends and no more is read than may be.
func FuzzWire(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x03\x01\x05\x00\x00\x0b\x00"))
	f.Add([]byte("\x06\x01\x02\x03\x04\x05\x06\x07\x04\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data}
		sent := d.messages()
		counted := &canned{rest: sent, step: 1 + len(data)%5000}
		w := &wire{conn: counted, left: maxExchange}
		s := &session{ctx: context.Background(), conn: w, raw: counted}
		must(t, s.begin(time.Now().Add(time.Minute)))
		replies, err := s.ask(&statement{name: "a", sql: "a"}, &statement{name: "b", sql: "b"})
		if len(replies) < 2 && err == nil || err != nil && !w.dead {
			t.Fatalf("%d replies, %v, dead: %v", len(replies), err, w.dead)
		}
		if counted.read > maxExchange {
			t.Errorf("%d bytes were read", counted.read)
		}
		if err != nil {
			checkText(t, classify(err).text, 1024)
			return
		}
		seen, _ := s.judge(replies)
		checkText(t, seen.Error, 1024)
		must(t, s.end())
		for w.listen() == nil {
		}
		if counted.read > maxExchange {
			t.Errorf("%d bytes were read", counted.read)
		}
	})
}

// canned is a connection from which something comes, in steps, and then its end.
type canned struct {
	net.Conn
	rest []byte
	step int
	read int
}

func (c *canned) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.step, len(c.rest))])
	c.rest, c.read = c.rest[n:], c.read+n
	return n, nil
}

func (c *canned) Write(p []byte) (int, error)       { return len(p), nil }
func (c *canned) SetDeadline(time.Time) error       { return nil }
func (c *canned) SetReadDeadline(t time.Time) error { return nil }
func (c *canned) Close() error                      { return errors.ErrUnsupported }
