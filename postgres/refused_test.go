package postgres

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// An open session holds up a smart shutdown until its renewal is refused, in
// whatever language.
func TestSmartShutdownInGerman(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t, pglab.Conf("lc_messages", "de_DE.UTF-8"))
	server, err := lab.Master(t.Context(), "m")
	if err != nil && strings.Contains(lab.Servers()[0].Log(), "lc_messages") {
		t.Fatal("there is no German locale; hint: scripts/need german")
	}
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, with(func(s *Settings) { s.ConnectionLifetime = time.Second }))
	lookUntil(t, f, n, answered)
	ended := make(chan error, 1)
	go func() { ended <- pgCtlStop(server, "smart") }()
	must(t, <-ended)
	lookUntil(t, f, n, because(cluster.ReasonRefused))
	if log := server.Log(); !strings.Contains(log, "intelligentes Herunterfahren") {
		t.Errorf("the server does not speak German:\n%s", log)
	}
}

// What a kept session is refused is asked for again on a new one.
func TestKeptSessionIsRefused(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	sql(t, server, threeColumns+firstRow+"GRANT ALL ON heartbeat TO plusmoin")
	for _, c := range []struct{ name, prepare, change string }{
		{"the role was dropped and made again",
			"CREATE ROLE monitor LOGIN PASSWORD 'carrotcake'; GRANT ALL ON heartbeat TO monitor",
			"DROP OWNED BY monitor; DROP ROLE monitor; CREATE ROLE monitor LOGIN PASSWORD 'carrotcake'; GRANT ALL ON heartbeat TO monitor"},
		{"the table moved to where new sessions look",
			"CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO monitor",
			"ALTER TABLE heartbeat SET SCHEMA app; ALTER ROLE monitor SET search_path = app"},
		{"and back",
			"",
			"ALTER TABLE app.heartbeat SET SCHEMA public; ALTER ROLE monitor RESET search_path"},
		{"the database became writable",
			"ALTER DATABASE plusmoin SET default_transaction_read_only = on",
			"ALTER DATABASE plusmoin RESET default_transaction_read_only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sql(t, server, "SET default_transaction_read_only = off; "+c.prepare)
			f := openFleet(t, with(func(s *Settings) { s.User = "monitor" }))
			if seen := lookAt(t, f, n); !answered(seen) || seen.Row == nil {
				t.Fatalf("at first: %+v", seen)
			}
			readOnly := strings.Contains(c.prepare, "read_only")
			if sent := sendBeat(t, f, beatOf(1, n, 1_000_000)); (sent.Reason == cluster.ReasonUnwritable) != readOnly {
				t.Fatalf("at first: %+v", sent)
			}
			if readOnly { // which a new session got too
				f = openFleet(t, with(func(s *Settings) { s.User = "monitor" }))
				lookAt(t, f, n)
			}
			sql(t, server, "SET default_transaction_read_only = off; "+c.change)
			confirmed(t, sendBeat(t, f, beatOf(1, n, 2_000_000)))
			if seen := lookAt(t, f, n); !answered(seen) || seen.Row == nil || seen.Row.Stamp != 2_000_000 {
				t.Errorf("look: %+v", seen)
			}
		})
	}
}

// A look is no other than a beat.
func TestKeptSessionIsRefusedALook(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	const grant = "CREATE ROLE monitor LOGIN PASSWORD 'carrotcake'; GRANT ALL ON heartbeat TO monitor"
	sql(t, server, threeColumns+firstRow+grant)
	f := openFleet(t, with(func(s *Settings) { s.User = "monitor" }))
	lookUntil(t, f, n, answered)
	sql(t, server, "DROP OWNED BY monitor; DROP ROLE monitor; "+grant)
	if seen := lookAt(t, f, n); !answered(seen) || seen.Row == nil {
		t.Errorf("%+v", seen)
	}
}

// A node that refuses for good is not connected to at every look, and says which
// server it is and whether it is a slave.
func TestRefusedForGood(t *testing.T) {
	var connects atomic.Int32
	n := fakeServer(t, func(conn net.Conn) {
		connects.Add(1)
		answering{func(sql string) ([][]byte, string) {
			switch sql {
			case serverSQL:
				return columns("150018", "7", "127.0.0.1", "5432", "1"), ""
			case systemSQL:
				return columns("42"), ""
			case rowSQL:
				return nil, "42501"
			}
			return healthy(sql), ""
		}}.serve(conn)
	})
	f := openFleet(t, labSettings())
	for range 20 {
		seen := lookAt(t, f, n)
		if seen.Outcome == cluster.Answered || seen.Reason != cluster.ReasonMisconfigured {
			t.Fatalf("%+v", seen)
		}
		if seen.Outcome == cluster.Failed && (seen.Facts.SystemID != 42 || seen.Facts.Started != 7 || !seen.Slave) {
			t.Fatalf("%+v", seen)
		}
	}
	if got := connects.Load(); got > 2 {
		t.Errorf("%d connects", got)
	}
}

func TestDoubt(t *testing.T) {
	var d doubt
	at := time.Unix(1000, 0)
	for i, c := range []struct {
		code  string
		isNew bool
		after time.Duration
		want  bool
	}{
		{"", true, 0, false},
		{"42501", false, 0, true}, // a session that was well is doubted
		{"42501", true, 0, false},
		{"42501", false, time.Second, false},
		{"42501", false, believedFor - time.Second, false},
		{"25006", false, 0, true}, // another
		{"42501", false, time.Second, true},
		{"42501", true, 0, false},
		{"", false, 0, false},
		{"42501", false, 0, true},
	} {
		at = at.Add(c.after)
		if got := d.doubts(c.code, c.isNew, at); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// Which answers depend on the session.
func TestOfSession(t *testing.T) {
	for code, want := range map[string]bool{
		"42501": true, "42P01": true, "3F000": true, "25006": true, "26000": true, "0A000": true, "28000": true, "3D000": true,
		"55P03": false, "57014": false, "40001": false, "53100": false, "XX000": false, "": false, "42": false,
	} {
		if got := (reply{err: &pgconn.PgError{Code: code}}).ofSession(); (got == code && code != "") != want {
			t.Errorf("%s: %q", code, got)
		}
	}
	if (reply{}).ofSession() != "" {
		t.Error("no error")
	}
}

// answering is a server that says what it is told to: a row or an SQLSTATE.
type answering struct {
	answer func(sql string) (row [][]byte, code string)
}

func (a answering) serve(conn net.Conn) {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.1"})
	backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	prepared := map[string]string{}
	var bound string
	for backend.Flush() == nil {
		message, err := backend.Receive()
		if err != nil {
			return
		}
		switch message := message.(type) {
		case *pgproto3.Query:
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SET")})
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Parse:
			prepared[message.Name] = message.Query
			backend.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			bound = prepared[message.PreparedStatement]
			backend.Send(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			row, code := a.answer(bound)
			switch {
			case code != "":
				backend.Send(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: "no"})
				continue
			case row != nil:
				backend.Send(&pgproto3.DataRow{Values: row})
			}
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case *pgproto3.Sync:
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Terminate:
			return
		}
	}
}

// Whatever is done to the table while a master is watched, the master answers: it
// says what is wrong, which server it is and that it is a master, and its beats are
// written again as soon as they can be.
func TestTableUnderFoot(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, labSettings())
	identity := lookUntil(t, f, n, answered).Facts
	confirmed(t, sendBeat(t, f, beatOf(1, n, 1)))
	const remade = "BEGIN; " + noTable + threeColumns + firstRow
	for _, c := range []struct {
		name, change, mend string
		want               string // in the text of the look; "" if it answers
	}{
		{"a second row", "INSERT INTO heartbeat SELECT * FROM heartbeat", "DELETE FROM heartbeat WHERE ctid <> (SELECT min(ctid) FROM heartbeat)", "plusmoin check"},
		{"no right to read", "ALTER TABLE heartbeat OWNER TO postgres", "ALTER TABLE heartbeat OWNER TO plusmoin", "grant"},
		{"remade by another", remade + "COMMIT", "ALTER TABLE heartbeat OWNER TO plusmoin", "grant"},
		{"null", "UPDATE heartbeat SET master = null", "UPDATE heartbeat SET master = ''", "must hold a text"},
		{"truncated", "TRUNCATE heartbeat", "", ""},
		{"dropped", "DROP TABLE heartbeat", "", ""},
		{"remade", remade + "ALTER TABLE heartbeat OWNER TO plusmoin; COMMIT", "", ""},
		{"restored from last night", "UPDATE heartbeat SET tstamp = 0", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := lookUntil(t, f, n, answered)
			sql(t, server, c.change)
			if c.want == "" { // seen or not: the beat is written
				stamp := before.Row.Stamp + 1
				confirmed(t, sendBeat(t, f, beatOf(1, n, stamp)))
				if seen := lookAt(t, f, n); !answered(seen) || seen.Row == nil || seen.Row.Stamp != stamp {
					t.Errorf("%+v", seen)
				}
				return
			}
			seen := lookAt(t, f, n)
			if seen.Outcome != cluster.Failed || seen.Reason != cluster.ReasonMisconfigured || !strings.Contains(seen.Error, c.want) {
				t.Errorf("%+v", seen)
			}
			if seen.Slave || seen.Facts.SystemID != identity.SystemID || seen.Facts.Started != identity.Started || seen.Facts.LSN == 0 {
				t.Errorf("not said to be the same master: %+v", seen)
			}
			if sent := sendBeat(t, f, beatOf(1, n, 5)); c.name != "null" && (sent.Verdict != cluster.Refused || sent.Reason != cluster.ReasonMisconfigured) {
				t.Errorf("beat: %+v", sent)
			}
			sql(t, server, c.mend)
			lookUntil(t, f, n, answered)
			confirmed(t, sendBeat(t, f, beatOf(1, n, 6)))
			lookUntil(t, f, n, answered)
		})
	}
}
