package postgres

import (
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// raw returns a message with a length of its own choice.
func raw(kind byte, length int, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(length)), body...)
}

func encoded(m interface{ Encode([]byte) ([]byte, error) }) []byte {
	bytes, err := m.Encode(nil)
	if err != nil {
		panic(err)
	}
	return bytes
}

// endless says something again and again.
func endless(message []byte) func(net.Conn) {
	return func(conn net.Conn) {
		many := []byte(strings.Repeat(string(message), 1+4096/len(message)))
		for {
			if _, err := conn.Write(many); err != nil {
				return
			}
		}
	}
}

func drip(message []byte) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			for i := range message {
				if _, err := conn.Write(message[i : i+1]); err != nil {
					return
				}
				<-time.After(5 * time.Millisecond)
			}
		}
	}
}

func once(message []byte) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Write(message)
		silence(conn)
	}
}

// A server may say what it likes in the place of its row: the look ends in time,
// reads little, and the node beside it is well.
func TestZoo(t *testing.T) {
	long := strings.Repeat("x", 500) // so that it is the bytes that count and not the time
	row := encoded(&pgproto3.DataRow{Values: [][]byte{[]byte(long)}})
	notice := encoded(&pgproto3.NoticeResponse{Severity: "NOTICE", Message: long})
	for name, c := range map[string]struct {
		at   func(net.Conn)
		want cluster.Reason
	}{
		"rows":               {endless(row), cluster.ReasonBadAnswer},
		"notices":            {endless(notice), cluster.ReasonBadAnswer},
		"parameters":         {endless(encoded(&pgproto3.ParameterStatus{Name: "a", Value: long})), cluster.ReasonBadAnswer},
		"notifications":      {endless(encoded(&pgproto3.NotificationResponse{Channel: "a", Payload: long})), cluster.ReasonBadAnswer},
		"errors":             {endless(encoded(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42501", Message: long})), cluster.ReasonBadAnswer},
		"completions":        {endless(encoded(&pgproto3.CommandComplete{CommandTag: []byte("SELECT " + long)})), cluster.ReasonBadAnswer},
		"drip of notices":    {drip(notice), cluster.ReasonTimeout},
		"drip of a row":      {drip(row), cluster.ReasonTimeout},
		"copy in":            {once(encoded(&pgproto3.CopyInResponse{})), cluster.ReasonBadAnswer},
		"copy out":           {once(encoded(&pgproto3.CopyOutResponse{})), cluster.ReasonBadAnswer},
		"copy both":          {once(encoded(&pgproto3.CopyBothResponse{})), cluster.ReasonBadAnswer},
		"a negative length":  {once(raw('D', -1, "")), cluster.ReasonBadAnswer},
		"a length of 0":      {once(raw('D', 0, "")), cluster.ReasonBadAnswer},
		"a length of 2 GiB":  {once(raw('D', 1<<31-1, "")), cluster.ReasonBadAnswer},
		"columns not there":  {once(raw('D', 6, "\x7f\xff")), cluster.ReasonBadAnswer},
		"a column too long":  {once(raw('D', 10, "\x00\x01\x7f\xff\xff\xff")), cluster.ReasonBadAnswer},
		"no end of a text":   {once(raw('E', 4+len("Sx"), "Sx")), cluster.ReasonBadAnswer},
		"an unknown message": {once(raw('?', 4, "")), cluster.ReasonBadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := fakeServer(t, speaker{func(conn net.Conn, sql string) bool {
				if sql == rowSQL {
					c.at(conn)
				}
				return sql != rowSQL
			}}.serve)
			good := fakeServer(t, speaker{}.serve)
			f := openFleet(t, with(quick))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 3 {
				began := time.Now()
				seen := f.Look(t.Context(), []cluster.Node{bad, good}, nil)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("a look took %v", took)
				}
				if !answered(seen[good]) || answered(seen[bad]) {
					t.Fatalf("%+v", seen)
				}
			}
			lookUntil(t, f, bad, because(c.want))
			if runtime.ReadMemStats(&after); after.HeapInuse > before.HeapInuse+64<<20 {
				t.Errorf("%d bytes are in use", after.HeapInuse)
			}
		})
	}
}

// A row of any width in the place of any answer is no reason to panic.
func TestShortRows(t *testing.T) {
	t.Parallel()
	statements := []string{"SELECT pg_is_in_recovery()", rowSQL, factsSQL(15), systemSQL, serverSQL, schemaSQL}
	for _, statement := range statements {
		for _, value := range []string{"", "t", "1", "\xff\u202e"} {
			for width := range 8 {
				row := make([][]byte, width)
				for i := range row {
					row[i] = []byte(value)
				}
				n := fakeServer(t, answering{func(sql string) ([][]byte, string) {
					if sql == statement {
						return row, ""
					}
					return healthy(sql), ""
				}}.serve)
				f := openFleet(t, labSettings())
				seen := lookAt(t, f, n)
				if seen.Outcome == cluster.Connecting {
					t.Errorf("%s with %d of %q: %+v", statement, width, value, seen)
				}
				checkFacts(t, seen.Facts)
				f.Close()
			}
		}
	}
}

// A server that talks while nobody asked is not listened to for ever.
func TestTalker(t *testing.T) {
	t.Parallel()
	n := fakeServer(t, speaker{func(conn net.Conn, sql string) bool {
		if sql == factsSQL(15) {
			go endless(encoded(&pgproto3.NoticeResponse{Severity: "NOTICE", Message: strings.Repeat("x", 100)}))(conn)
		}
		return true
	}}.serve)
	f := openFleet(t, with(quick))
	seen := lookAt(t, f, n)
	if answered(seen) { // else it talked so soon that it was part of its answer
		dropped(t, f)
	} else if seen.Reason != cluster.ReasonBadAnswer {
		t.Errorf("%+v", seen)
	}
}

// What servers write of others is shown, and is no name of a node.
func TestDirtyNames(t *testing.T) {
	for text, want := range map[string]string{
		"db1:5432": "db1:5432", "[::1]:5432": "[::1]:5432", "müller.example:1": "müller.example:1", "": "",
		"db1:5432\u200b": "db1:5432?", "\u202edb1:5432": "?db1:5432", "db1\x00:5432": "db1?:5432", "db1:5432\x85": "db1:5432?",
		"db1\u0085:1": "db1?:1", "a\u00a0b": "a b", "db\ufe0f1:1": "db?1:1", "db1:5432\n": "db1:5432?", "\u3164": "?",
		strings.Repeat("\xff", 100): strings.Repeat("?", 100),
		strings.Repeat("x", 256):    strings.Repeat("x", 256), strings.Repeat("x", 257): strings.Repeat("x", 253) + mark,
	} {
		if got := name(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	row, _, err := decodeRow(columns("1", "db1:5432\u200b", "7", "8"))
	if err != nil || row.Master == "db1:5432" || row.Master == "" {
		t.Errorf("%+v %v", row, err)
	}
	var facts cluster.Facts
	decodeFacts(columns("t", "-", "-", "-", "-", "-", "1", "streaming", "1", "0/1", "1", "up\u202e\x1b[31m", "99999"), &facts)
	if got := facts.Receiver.Upstream; got != "up??[31m:0" {
		t.Errorf("%q", got)
	}
}

// Not a byte more is read in an exchange than may be, and the next has as many.
func TestBytesOfAnExchange(t *testing.T) {
	notice := encoded(&pgproto3.NoticeResponse{Severity: "NOTICE", Message: "hello"})
	ready := encoded(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	good := append([]byte(strings.Repeat(string(notice), maxExchange*2/3/len(notice))), ready...)
	bad := []byte(strings.Repeat(string(notice), 2*maxExchange/len(notice)))
	server := &canned{rest: append(append(append([]byte(nil), good...), good...), bad...), step: 4093}
	s := &session{ctx: t.Context(), conn: &wire{conn: server}, raw: server}
	for range 2 {
		must(t, s.begin(time.Now().Add(time.Minute)))
		if _, err := s.ask(&statement{sql: "a"}); err != nil {
			t.Fatal(err)
		}
		must(t, s.end())
	}
	must(t, s.begin(time.Now().Add(time.Minute)))
	before := server.read
	if _, err := s.ask(&statement{sql: "a"}); classify(err).reason != cluster.ReasonBadAnswer || !s.conn.dead {
		t.Errorf("%v, dead: %v", err, s.conn.dead)
	}
	if read := server.read - before; read != maxExchange {
		t.Errorf("%d bytes were read", read)
	}
}
