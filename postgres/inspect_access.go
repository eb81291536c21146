package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// access is what a connection was asked for as.
type access struct {
	user, database string
	node           cluster.Node
	tls            bool // the settings demand it
	password       bool // there is one
	secured        bool // the same is let in with TLS
}

// advice is what to add to a server's own words.
type advice struct {
	text     string // "" if they say all
	remedies []Remedy
}

// onMaster is where what is shared by master and slaves is mended. Whether the
// node is a slave is not known while it lets nobody in.
func onMaster(lines ...string) Remedy {
	return Remedy{"in psql on the node, or on its master if it is a slave, as a superuser", lines}
}

func onMasterIf(condition string, lines ...string) Remedy {
	r := onMaster(lines...)
	r.Where += ", " + condition
	return r
}

// The functions of a server that refuse somebody. Servers write their texts in
// many languages, but this in none.
const (
	byHBA      = "ClientAuthentication"
	byMethod   = "auth_failed"
	byRole     = "InitializeSessionUserId"
	byDatabase = "CheckMyDatabase"
)

// afterRefusal returns what makes a server let us in, as far as that may be meant:
// who is kept out by a line of pg_hba.conf, or by a way to log on that has no
// password, is kept out on purpose.
func (a access) afterRefusal(e *pgconn.PgError) advice {
	role, database := quoteName(a.user), quoteName(a.database)
	switch e.Code {
	case "28000":
		return a.afterNoAccess(e)
	case "28P01":
		return a.afterWrongPassword()
	case "3D000":
		return advice{"", []Remedy{onMaster("CREATE DATABASE " + database + " OWNER " + role + ";")}}
	case "42501":
		if e.Routine == byDatabase || e.Routine == "" {
			return advice{"", []Remedy{onMaster("GRANT CONNECT ON DATABASE " + database + " TO " + role + ";")}}
		}
	case "55000":
		if a.database == "template0" {
			return advice{"nobody is meant to connect to template0: name another database as dbname", nil}
		}
		return advice{"", []Remedy{onMasterIf("if it is meant to take connections", "ALTER DATABASE "+database+" ALLOW_CONNECTIONS true;")}}
	case "53300":
		return advice{"", []Remedy{a.afterTooMany(e)}}
	case "57P03":
		if notNow(e) == cluster.ReasonNotAccepting {
			return advice{"", []Remedy{{"if it is a slave and this does not pass, in its postgresql.conf, followed by a restart", []string{"hot_standby = on"}}}}
		}
	}
	return advice{}
}

func (a access) afterTooMany(e *pgconn.PgError) Remedy {
	says := func(words string) bool { return e.Routine == "" && strings.Contains(e.Message, words) }
	switch {
	case e.Routine == byRole || says("for role"):
		return onMaster("ALTER ROLE " + quoteName(a.user) + " CONNECTION LIMIT -1;")
	case e.Routine == byDatabase || says("for database"):
		return onMaster("ALTER DATABASE " + quoteName(a.database) + " CONNECTION LIMIT -1;")
	}
	return Remedy{"to see who is connected, in psql on the node, as a superuser", whoConnects()}
}

// afterNoAccess tells apart what 28000 stands for.
func (a access) afterNoAccess(e *pgconn.PgError) advice {
	role := quoteName(a.user)
	absent, barred := strings.Contains(e.Message, "does not exist"), strings.Contains(e.Message, "not permitted to log in")
	switch {
	case e.Routine == byRole || absent || barred:
		create := onMasterIf("if there is no such role", a.setPassword("CREATE ROLE "+role+" LOGIN;")...)
		allow := onMasterIf("if there is, and it is meant to log in", "ALTER ROLE "+role+" LOGIN;")
		switch {
		case absent:
			return advice{"", []Remedy{onMaster(create.Lines...)}}
		case barred:
			return advice{"", []Remedy{onMasterIf("if the role is meant to log in", allow.Lines...)}}
		}
		return advice{"", []Remedy{create, allow}}
	case unlisted(e.Message) && a.secured:
		return advice{"the server lets the role in with TLS only", []Remedy{{"in the configuration", []string{`"sslmode": "require",`}}}}
	case unlisted(e.Message):
		return a.hba(e.Message)
	case e.Routine == byMethod:
		return advice{"pg_hba.conf demands a way to log on that plusmoin did not pass, and that is not a password of the server " +
			"(such as peer, ident, cert, ldap, pam, radius, gss): whoever keeps that file decides whether the role may log on otherwise", nil}
	}
	return advice{"a line of pg_hba.conf rejects it or demands a client certificate (sslcert, sslkey): whoever keeps that file decides", nil}
}

// setPassword returns lines that give the role a password which every line of
// pg_hba.conf takes that demands one: md5 takes one stored for scram-sha-256, but
// not the other way round, and servers before version 14 store for md5.
func (a access) setPassword(before ...string) []string {
	return append(before, "SET password_encryption = 'scram-sha-256';", `\password `+quoteName(a.user))
}

// afterWrongPassword names all that a server does not tell apart, lest who guesses
// learns of it.
func (a access) afterWrongPassword() advice {
	text := "no such role, another password or none, one that is no longer valid, or one stored for md5 where pg_hba.conf demands scram-sha-256"
	if !a.password {
		text = "no password is configured: set password or passfile; else " + text
	}
	role := quoteName(a.user)
	return advice{text, []Remedy{
		onMasterIf("to see which it is", "SELECT rolname, rolcanlogin, rolvaliduntil, left(rolpassword, 5)",
			"  FROM pg_authid WHERE rolname = "+literal(a.user)+";"),
		onMasterIf("if the role is there", a.setPassword()...),
		onMasterIf("if it is not", a.setPassword("CREATE ROLE "+role+" LOGIN;")...),
		onMasterIf("if its password is no longer valid, and the role is to stay", "ALTER ROLE "+role+" VALID UNTIL 'infinity';"),
	}}
}

// notListed are the words by which servers say, in each of their languages, that
// pg_hba.conf has no line for somebody. They have one SQLSTATE and one function for
// that and for what rejects on purpose: what says none of this is taken for the
// latter.
var notListed = [...]string{
	"no pg_hba.conf entry", "kein pg_hba.conf-Eintrag", "no hay una línea en pg_hba.conf", "aucune entrée dans pg_hba.conf",
	"aucune entrée de pg_hba.conf", "nessuna voce in pg_hba.conf", "用のエントリがありません", "აღმოჩენილი არაა",
	"연결에 대한 설정이 pg_hba.conf 파일에 없습니다", "brak wpisu w pg_hba.conf", "nenhuma entrada no pg_hba.conf",
	"в pg_hba.conf нет записи", "ingen rad i pg_hba.conf", "pg_hba.conf kaydı yok", "в pg_hba.conf немає запису", "没有用于主机",
}

func unlisted(message string) bool {
	return slices.ContainsFunc(notListed[:], func(words string) bool { return strings.Contains(message, words) })
}

// hba is the line that lets us in.
func (a access) hba(message string) advice {
	fields := []string{"local", hbaName(a.database), hbaName(a.user), "scram-sha-256"}
	if !strings.HasPrefix(a.node.Host, "/") {
		kind := "host"
		if a.tls {
			kind = "hostssl"
		}
		fields = []string{kind, hbaName(a.database), hbaName(a.user), hbaAddress(a.clientAddress(message)), "scram-sha-256"}
	}
	return advice{"", []Remedy{
		{"in pg_hba.conf of the node, followed by SELECT pg_reload_conf()", []string{strings.Join(fields, "    ")}},
		onMasterIf("if its password was stored for md5, as versions 10 to 13 do by default", a.setPassword()...),
	}}
}

// clientAddress returns our address as the server sees it, which it names when
// it has no line for us; else as this machine would choose it, which is another
// if addresses are translated in between.
func (a access) clientAddress(message string) string {
	if ours := ownAddress(a.node); strings.Contains(message, `"`+ours+`"`) {
		return ours
	}
	for _, word := range strings.FieldsFunc(message, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF:.%", r) && r != '/'
	}) {
		if address, err := netip.ParseAddr(word); err == nil {
			return address.String()
		}
	}
	return ownAddress(a.node)
}

func hbaAddress(text string) string {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return "samenet"
	}
	address = address.Unmap().WithZone("")
	return fmt.Sprintf("%s/%d", address, address.BitLen())
}

var plainHBAName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// hbaName returns a name as pg_hba.conf takes it: some words mean something
// unless they are quoted.
func hbaName(name string) string {
	switch name {
	case "all", "sameuser", "samerole", "samegroup", "replication":
		return `"` + name + `"`
	}
	if plainHBAName.MatchString(name) {
		return name
	}
	return `"` + name + `"`
}

// unconnected judges why there is no connection to a node.
func unconnected(ctx context.Context, s Settings, n cluster.Node, err error) Finding {
	f := classify(err)
	if late(err) && f.reason == cluster.ReasonTimeout {
		f.text = "no connection within " + s.ConnectTimeout.String()
	}
	a := access{user: s.User, database: s.DBName, node: n, tls: slices.Contains([]string{"require", "verify-ca", "verify-full"}, s.SSLMode)}
	if login, err := s.login(n); err == nil {
		a.user, a.database, a.password = login.user, login.database, login.password != ""
	}
	if a.database == "" {
		a.database = a.user
	}
	var told advice
	var said *pgconn.PgError
	if errors.As(err, &said) {
		if s.SSLMode == "disable" && said.Code == "28000" && unlisted(said.Message) {
			a.secured = letInBy(ctx, s, n)
		}
		told = a.afterRefusal(said)
	}
	text := withHint(withHint(f.text, networkHint(f.reason)), told.text)
	return Finding{Problem, fmt.Sprintf("%s: cannot connect: %s", f.reason, text), told.remedies}
}

// letInBy reports whether a server that refuses to be spoken to in the clear has
// a line for us with TLS. A line without would then open what is closed on purpose.
func letInBy(ctx context.Context, s Settings, n cluster.Node) bool {
	s.SSLMode = "require"
	session, err := establish(ctx, ctx, s, n, &way{})
	if err == nil {
		session.close()
		return true
	}
	var said *pgconn.PgError
	return errors.As(err, &said) && !(said.Code == "28000" && unlisted(said.Message))
}
