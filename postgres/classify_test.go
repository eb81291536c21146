package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

func TestClassify(t *testing.T) {
	said := func(code, message string) error {
		return &pgconn.PgError{Severity: "FATAL", Code: code, Message: message}
	}
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		err  error
		want cluster.Reason
	}{
		{said("57P03", "the database system is starting up"), cluster.ReasonStartingUp},
		{said("57P03", "the database system is not yet accepting connections"), cluster.ReasonStartingUp},
		{said("57P03", "the database system is in recovery mode"), cluster.ReasonStartingUp},
		{said("57P03", "the database system is shutting down"), cluster.ReasonShuttingDown},
		{said("57P03", "the database system is not accepting connections"), cluster.ReasonNotAccepting},
		{said("57P03", "das Datenbanksystem startet"), cluster.ReasonNotAccepting},
		{said("57P01", "terminating connection due to administrator command"), cluster.ReasonDisconnected},
		{said("53300", "sorry, too many clients already"), cluster.ReasonTooMany},
		{said("53100", "could not write"), cluster.ReasonUnwritable},
		{said("53200", "out of memory"), cluster.ReasonResources},
		{said("25006", "cannot execute UPDATE in a read-only transaction"), cluster.ReasonUnwritable},
		{said("55P03", "canceling statement due to lock timeout"), cluster.ReasonUnwritable},
		{said("57014", "canceling statement due to statement timeout"), cluster.ReasonResources},
		{said("28P01", "password authentication failed"), cluster.ReasonAuth},
		{said("28000", "no pg_hba.conf entry"), cluster.ReasonAuth},
		{said("3D000", "database does not exist"), cluster.ReasonMisconfigured},
		{said("42501", "permission denied"), cluster.ReasonMisconfigured},
		{said("42601", "syntax error"), cluster.ReasonMisconfigured},
		{said("XX000", "what"), cluster.ReasonBadAnswer},
		{said("08006", "connection failure"), cluster.ReasonBadAnswer},
		{said("08P01", "unsupported startup parameter: lock_timeout"), cluster.ReasonBadAnswer},
		{said("26000", "prepared statement does not exist"), cluster.ReasonBadAnswer},
		{said("42P05", "prepared statement already exists"), cluster.ReasonBadAnswer},
		{said("22P02", "invalid input syntax"), cluster.ReasonMisconfigured},
		{said("23514", "check constraint"), cluster.ReasonMisconfigured},
		{said("P0001", "raised by a trigger"), cluster.ReasonMisconfigured},
		{said("0A000", "cannot use serializable mode in a hot standby"), cluster.ReasonMisconfigured},
		{said("3F000", "no schema has been selected to create in"), cluster.ReasonMisconfigured},
		{said("42P01", "relation does not exist"), cluster.ReasonMisconfigured},
		{said("55000", "does not have a replica identity"), cluster.ReasonMisconfigured},
		{said("57P04", "database dropped"), cluster.ReasonMisconfigured},
		{said("40001", "conflict with recovery"), cluster.ReasonResources},
		{said("54000", "program limit exceeded"), cluster.ReasonResources},
		{said("58P01", "could not access file"), cluster.ReasonResources},
		{said("57P02", "crash of another server process"), cluster.ReasonDisconnected},
		{said("57P05", "idle-session timeout"), cluster.ReasonDisconnected},
		{said("57000", "operator intervention"), cluster.ReasonBadAnswer},
		{said("55006", "object in use"), cluster.ReasonBadAnswer},
		{said("4", "half a code"), cluster.ReasonBadAnswer},
		{said("42501 and more", "more than a code"), cluster.ReasonMisconfigured},
		{said("", ""), cluster.ReasonBadAnswer},
		{dial(syscall.ECONNREFUSED), cluster.ReasonRefused},
		{dial(syscall.ENOENT), cluster.ReasonRefused},
		{dial(syscall.EHOSTUNREACH), cluster.ReasonUnreachable},
		{dial(syscall.ETIMEDOUT), cluster.ReasonTimeout},
		{dial(syscall.EMFILE), cluster.ReasonResources},
		{dial(syscall.ENFILE), cluster.ReasonResources},
		{dial(syscall.ENOBUFS), cluster.ReasonResources},
		{dial(syscall.ENETUNREACH), cluster.ReasonUnreachable},
		{dial(syscall.EADDRNOTAVAIL), cluster.ReasonUnreachable},
		{dial(syscall.EPERM), cluster.ReasonUnreachable},
		{syscall.EPIPE, cluster.ReasonDisconnected},
		{syscall.ECONNABORTED, cluster.ReasonDisconnected},
		{net.ErrClosed, cluster.ReasonDisconnected},
		{context.Canceled, cluster.ReasonDisconnected},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, cluster.ReasonTLS},
		{errTooMuch, cluster.ReasonBadAnswer},
		{errCopy, cluster.ReasonBadAnswer},
		{errUnusable, cluster.ReasonBadAnswer},
		{&net.DNSError{Err: "no such host", Name: "db1"}, cluster.ReasonDNS},
		{x509.UnknownAuthorityError{}, cluster.ReasonTLS},
		{errors.New("tls error: server refused TLS connection"), cluster.ReasonTLS},
		{fmt.Errorf("x: %w", os.ErrDeadlineExceeded), cluster.ReasonTimeout},
		{context.DeadlineExceeded, cluster.ReasonTimeout},
		{io.ErrUnexpectedEOF, cluster.ReasonDisconnected},
		{syscall.ECONNRESET, cluster.ReasonDisconnected},
		{configError{errors.New("no such file")}, cluster.ReasonMisconfigured},
		{errors.New("what"), cluster.ReasonBadAnswer},
		// What a server said explains more than the way that was tried first.
		{errors.Join(errors.New("server refused TLS connection"), said("28P01", "no")), cluster.ReasonAuth},
		{errors.Join(os.ErrDeadlineExceeded, dial(syscall.ECONNREFUSED)), cluster.ReasonRefused},
		{errors.Join(os.ErrDeadlineExceeded, said("57P03", "the database system is starting up")), cluster.ReasonStartingUp},
		{errors.Join(said("28P01", "no"), wrong{cluster.ReasonUnwritable, "x"}), cluster.ReasonUnwritable},
	} {
		f := classify(c.err)
		if f.reason != c.want {
			t.Errorf("%v: %s, want %s", c.err, f.reason, c.want)
		}
		if strings.Contains(strings.ReplaceAll(f.text, "deadline", ""), "dead") || strings.ContainsAny(f.text, "\n\t") {
			t.Errorf("%v: text %q", c.err, f.text)
		}
	}
}

func TestLost(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{os.ErrDeadlineExceeded, false},
		{syscall.ETIMEDOUT, true},
		{io.EOF, true},
		{&pgconn.PgError{Severity: "ВАЖНО", SeverityUnlocalized: "FATAL", Code: "57P01"}, true},
		{&pgconn.PgError{Severity: "ERROR", Code: "42501"}, false},
		{&pgconn.PgError{Severity: "PANIC", Code: "53100"}, true}, // of a server of old, in English
		{&pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "ERROR", Code: "42501"}, false},
		{&pgconn.PgError{Severity: "PANIK", SeverityUnlocalized: "PANIC", Code: "53100"}, true},
		{&pgconn.PgError{Code: "57P01"}, false},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), false},
		{syscall.EHOSTUNREACH, true},
		{syscall.ECONNRESET, true},
		{syscall.ECONNREFUSED, false},
		{errUnusable, true},
		{errTooMuch, false},
		{errors.New("what"), false},
		{errors.Join(io.EOF, os.ErrDeadlineExceeded), false},
	} {
		if lost(c.err) != c.want {
			t.Errorf("%v: %v", c.err, !c.want)
		}
	}
}

// While there is a connection to a server, it refuses another in that way only if
// it shuts down.
func TestGoingDown(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&pgconn.PgError{Severity: "FATAL", Code: "57P03", Message: "the database system is shutting down"}, true},
		{&pgconn.PgError{Severity: "FATAL", Code: "57P03", Message: "das Datenbanksystem fährt herunter"}, true},
		{fmt.Errorf("x: %w", &pgconn.PgError{Severity: "FATAL", Code: "57P01"}), true},
		{&pgconn.PgError{Severity: "FATAL", Code: "57P02"}, false},
		{&pgconn.PgError{Severity: "FATAL", Code: "53300", Message: "shutting down"}, false},
		{&pgconn.PgError{Severity: "FATAL", Code: "28P01"}, false},
		{syscall.ECONNREFUSED, false},
		{os.ErrDeadlineExceeded, false},
		{io.EOF, false},
		{nil, false},
	} {
		if goingDown(c.err) != c.want {
			t.Errorf("%v: %v", c.err, !c.want)
		}
	}
}

// A hint says what to do about what the reason alone does not say.
func TestHints(t *testing.T) {
	for code, want := range map[string]string{
		"25006": "read-only", "28P01": "pg_hba.conf", "3D000": "dbname", "40001": "replay", "42501": "SELECT and UPDATE", "42P01": "heartbeat",
		"53100": "disk", "55000": "REPLICA IDENTITY FULL", "55P03": "lock", "26000": "pooler", "42P05": "pooler", "08P01": "ignore_startup_parameters",
	} {
		if text := refusal(&pgconn.PgError{Code: code, Message: "x"}).text; !strings.HasPrefix(text, "x (SQLSTATE "+code+"); ") || !strings.Contains(text, want) {
			t.Errorf("%s: %q", code, text)
		}
	}
	if text := refusal(&pgconn.PgError{Code: "53300", Message: "x"}).text; text != "x (SQLSTATE 53300)" {
		t.Errorf("%q", text)
	}
}

func TestTidy(t *testing.T) {
	if got := tidy("a\n\tb\x00c\xff"); got != "a; b; c?" {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{
		"a\r\nb\u2028c": "a; b; c", "a\u202eb\u200bc": "a?b?c", "\x1b[31mred": "[31mred", "x\nx": "x", "a\u00a0b": "a b", "a\u0085b": "a; b",
	} {
		if got := tidy(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := tidy(strings.Repeat("\U0001F600", 1000)); len(got) > maxTextBytes+3 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes", len(got))
	}
	if got := tidy(strings.Repeat("é", 1000)); len([]rune(got)) != maxText+3 {
		t.Errorf("%d runes", len([]rune(got)))
	}
}
