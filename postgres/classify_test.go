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
		{said("57014", "canceling statement due to statement timeout"), cluster.ReasonTimeout},
		{said("28P01", "password authentication failed"), cluster.ReasonAuth},
		{said("28000", "no pg_hba.conf entry"), cluster.ReasonAuth},
		{said("3D000", "database does not exist"), cluster.ReasonMisconfigured},
		{said("42501", "permission denied"), cluster.ReasonMisconfigured},
		{said("42601", "syntax error"), cluster.ReasonMisconfigured},
		{said("XX000", "what"), cluster.ReasonBadAnswer},
		{said("", ""), cluster.ReasonBadAnswer},
		{dial(syscall.ECONNREFUSED), cluster.ReasonRefused},
		{dial(syscall.ENOENT), cluster.ReasonRefused},
		{dial(syscall.EHOSTUNREACH), cluster.ReasonUnreachable},
		{dial(syscall.ETIMEDOUT), cluster.ReasonTimeout},
		{dial(syscall.EMFILE), cluster.ReasonResources},
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
	} {
		if lost(c.err) != c.want {
			t.Errorf("%v: %v", c.err, !c.want)
		}
	}
}

func TestTidy(t *testing.T) {
	if got := tidy("a\n\tb\x00c\xff"); got != "a; b; c?" {
		t.Errorf("%q", got)
	}
	if got := tidy(strings.Repeat("é", 1000)); len([]rune(got)) != maxText+3 {
		t.Errorf("%d runes", len([]rune(got)))
	}
}
