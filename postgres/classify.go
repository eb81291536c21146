package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"plusmoin/cluster"
)

// fault is what an error means: a word for machines and a text for people.
type fault struct {
	reason cluster.Reason
	text   string
}

// wrong is an answer that was received and cannot be used.
type wrong struct {
	reason cluster.Reason
	text   string
}

func (w wrong) Error() string { return w.text }

// classify returns what err means. An error may hold several, one for each
// address or way that was tried: what a server said goes before what the
// network said, and that before silence.
func classify(err error) fault {
	var said *pgconn.PgError
	var answer wrong
	switch {
	case err == nil:
		return fault{}
	case errors.As(err, &answer):
		return fault{answer.reason, tidy(answer.text)}
	case errors.As(err, &said):
		return refusal(said)
	}
	for _, c := range networkCauses {
		if c.is(err) {
			return fault{c.reason, withHint(tidy(plain(err)), c.hint)}
		}
	}
	return fault{cluster.ReasonBadAnswer, tidy(plain(err))}
}

// refusal returns what an error reported by a server means.
func refusal(e *pgconn.PgError) fault {
	code := name(e.Code)
	text := tidy(firstBytes(e.Message, maxTextBytes) + " (SQLSTATE " + code + ")")
	if code == "57P03" {
		return fault{notNow(e), text}
	}
	for n := min(len(code), 5); n >= 2; n-- {
		if m, ok := meanings(code[:n]); ok {
			return fault{m.reason, withHint(text, m.hint)}
		}
	}
	return fault{cluster.ReasonBadAnswer, text}
}

type meaning struct {
	reason cluster.Reason
	hint   string
}

// meanings tells what a SQLSTATE or the beginning of one means. Nothing here
// says that a server is dead: it spoke.
func meanings(code string) (meaning, bool) {
	switch code {
	case "08":
		return meaning{cluster.ReasonBadAnswer, ""}, true
	case "22", "23", "P0":
		return meaning{cluster.ReasonMisconfigured, ""}, true
	case "25006":
		return meaning{cluster.ReasonUnwritable, "the server or the database is read-only"}, true
	case "08P01":
		return meaning{cluster.ReasonBadAnswer, "if this is pgbouncer, connect to the server itself, or set its ignore_startup_parameters to " +
			"lock_timeout, statement_timeout, synchronous_commit"}, true
	case "26", "42P05":
		return meaning{cluster.ReasonBadAnswer, "a connection pooler in between does not keep sessions apart; connect to the server itself"}, true
	case "28":
		return meaning{cluster.ReasonAuth, "check user, password and passfile, and pg_hba.conf on the server"}, true
	case "3D000", "57P04":
		return meaning{cluster.ReasonMisconfigured, "check dbname; the database must be there on every node"}, true
	case "40":
		return meaning{cluster.ReasonResources, "replay ended the statement"}, true
	case "42501":
		return meaning{cluster.ReasonMisconfigured, "grant the role CONNECT on the database, and SELECT and UPDATE on table heartbeat or CREATE on its schema"}, true
	case "42P01", "42703":
		return meaning{cluster.ReasonMisconfigured, "check table heartbeat and is_slave_statement"}, true
	case "0A", "3F", "42":
		return meaning{cluster.ReasonMisconfigured, ""}, true
	case "53100":
		return meaning{cluster.ReasonUnwritable, "the server's disk is full"}, true
	case "53300":
		return meaning{cluster.ReasonTooMany, ""}, true
	case "53", "54", "58":
		return meaning{cluster.ReasonResources, ""}, true
	case "55000":
		return meaning{cluster.ReasonMisconfigured, "if it is for want of a replica identity: ALTER TABLE heartbeat REPLICA IDENTITY FULL"}, true
	case "55P03":
		return meaning{cluster.ReasonUnwritable, "something holds a lock on table heartbeat"}, true
	case "57014": // by its statement_timeout, or cancelled there: not silence
		return meaning{cluster.ReasonResources, ""}, true
	case "57P01", "57P02", "57P05":
		return meaning{cluster.ReasonDisconnected, ""}, true
	}
	return meaning{}, false
}

// notNow tells apart what servers have one SQLSTATE for. They say it in their
// own language, which may not be English.
func notNow(e *pgconn.PgError) cluster.Reason {
	for _, c := range []struct {
		words  string
		reason cluster.Reason
	}{
		{"shutting down", cluster.ReasonShuttingDown},
		{"starting up", cluster.ReasonStartingUp},
		{"not yet accepting", cluster.ReasonStartingUp},
		{"recovery mode", cluster.ReasonStartingUp},
	} {
		if strings.Contains(e.Message, c.words) {
			return c.reason
		}
	}
	return cluster.ReasonNotAccepting
}

type networkCause struct {
	reason cluster.Reason
	is     func(error) bool
	hint   string
}

// networkCauses are in the order in which they explain an error that holds
// several of them.
var networkCauses = [...]networkCause{
	{cluster.ReasonMisconfigured, as[configError], ""},
	{cluster.ReasonResources, oneOf(syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS), "the monitor's own limit"},
	{cluster.ReasonTLS, isTLS, "check sslmode and the certificates"},
	{cluster.ReasonBadAnswer, as[*pgproto3.ExceededMaxBodyLenErr], ""},
	{cluster.ReasonDNS, as[*net.DNSError], ""},
	{cluster.ReasonRefused, oneOf(syscall.ECONNREFUSED, syscall.ENOENT), ""},
	{cluster.ReasonUnreachable, oneOf(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN,
		syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM), ""},
	// A TCP connection that timed out is no deadline of ours, but as silent.
	{cluster.ReasonTimeout, oneOf(os.ErrDeadlineExceeded, context.DeadlineExceeded, syscall.ETIMEDOUT), ""},
	{cluster.ReasonDisconnected, oneOf(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE,
		syscall.ECONNABORTED, net.ErrClosed, pgconn.ErrConnClosed, context.Canceled), ""},
	{cluster.ReasonTLS, says("server refused TLS connection"), "check sslmode, and ssl on the server"},
	{cluster.ReasonTLS, as[handshakeError], "check sslmode and the certificates"},
}

func oneOf(causes ...error) func(error) bool {
	return func(err error) bool {
		for _, c := range causes {
			if errors.Is(err, c) {
				return true
			}
		}
		return false
	}
}

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func says(words string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), words) }
}

func isTLS(err error) bool {
	return as[*tls.CertificateVerificationError](err) || as[tls.RecordHeaderError](err) || as[tls.AlertError](err) ||
		as[x509.UnknownAuthorityError](err) || as[x509.HostnameError](err) || as[x509.CertificateInvalidError](err) ||
		says("remote error: tls")(err)
}

// fatal tells whether the server ended the session with e. The severity is in
// the server's language, SeverityUnlocalized is not.
func fatal(e *pgconn.PgError) bool {
	switch e.SeverityUnlocalized {
	case "FATAL", "PANIC":
		return true
	case "":
		return e.Severity == "FATAL" || e.Severity == "PANIC"
	}
	return false
}

// goingDown tells whether a server to which there is a connection refused another
// because it shuts down. In no other state does it refuse one that way while it
// keeps those it has: its words, which may be of any language, do not matter.
func goingDown(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && (said.Code == "57P01" || said.Code == "57P03")
}

// late tells whether err is a deadline of ours that passed. ETIMEDOUT is none:
// that connection is lost.
func late(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// lost tells whether err says that the connection is gone, rather than that
// the server is silent or answers nonsense.
func lost(err error) bool {
	if err == nil || late(err) {
		return false
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return fatal(said)
	}
	switch classify(err).reason {
	case cluster.ReasonDisconnected, cluster.ReasonTimeout, cluster.ReasonUnreachable:
		return true
	}
	return errors.Is(err, errUnusable)
}

// plain returns the text of err without what the library wraps around it.
func plain(err error) string {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = errors.Unwrap(connect)
	}
	return err.Error()
}

func withHint(text, hint string) string {
	if hint == "" {
		return text
	}
	return text + "; " + hint
}
