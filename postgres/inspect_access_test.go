package postgres

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
)

// What makes a server let us in, by what it said.
func TestAfterRefusal(t *testing.T) {
	plain := access{user: "plusmoin", database: "plusmoin", node: cluster.Node{Host: "127.0.0.1", Port: 1}, password: true}
	odd := access{user: "all", database: `my "db"`, node: cluster.Node{Host: "/run", Port: 1}}
	secure, hidden, copied := plain, plain, plain
	secure.tls, hidden.secured, copied.database = true, true, "template0"
	const set = "SET password_encryption = 'scram-sha-256';\n\\password plusmoin"
	line := func(kind, address string) []string {
		return []string{kind + "    plusmoin    plusmoin    " + address + "    scram-sha-256", set}
	}
	create := "CREATE ROLE plusmoin LOGIN;\n" + set
	for _, c := range []struct {
		a                      access
		code, routine, message string
		want                   []string
	}{
		{plain, "28000", byHBA, `no pg_hba.conf entry for host "10.0.0.1", user "plusmoin"`, line("host", "10.0.0.1/32")},
		{plain, "28000", byHBA, `no pg_hba.conf entry for host "fd00::5", user "plusmoin"`, line("host", "fd00::5/128")},
		{plain, "28000", byHBA, `no pg_hba.conf entry for host "::ffff:10.0.0.1"`, line("host", "10.0.0.1/32")},
		{plain, "28000", byHBA, `no pg_hba.conf entry for host "db7.example", user "deadbeef"`, line("host", "127.0.0.1/32")},
		{plain, "28000", byHBA, `kein pg_hba.conf-Eintrag für Host »10.0.0.1«, Benutzer »plusmoin«`, line("host", "10.0.0.1/32")},
		{plain, "28000", byHBA, `aucune entrée dans pg_hba.conf pour l'hôte « 10.0.0.1 », utilisateur « plusmoin »`, line("host", "10.0.0.1/32")},
		{secure, "28000", byHBA, "no pg_hba.conf entry for host", line("hostssl", "127.0.0.1/32")},
		{hidden, "28000", byHBA, "no pg_hba.conf entry for host", []string{`"sslmode": "require",`}},
		{plain, "28000", byHBA, "pg_hba.conf rejects connection", nil},
		{plain, "28000", byHBA, `pg_hba.conf lehnt Verbindung ab für Host »127.0.0.1«`, nil},
		{plain, "28000", byHBA, "connection requires a valid client certificate", nil},
		{plain, "28000", byHBA, "in a language that nobody knows", nil},
		{plain, "28000", byMethod, `Peer authentication failed for user "plusmoin"`, nil},
		{plain, "28000", byMethod, `LDAP authentication failed for user "plusmoin"`, nil},
		{plain, "28000", byRole, `role "plusmoin" does not exist`, []string{create}},
		{plain, "28000", byRole, `role "plusmoin" is not permitted to log in`, []string{"ALTER ROLE plusmoin LOGIN;"}},
		{plain, "28000", byRole, `Rolle »plusmoin« existiert nicht`, []string{create, "ALTER ROLE plusmoin LOGIN;"}},
		{odd, "28000", byHBA, "no pg_hba.conf entry for host", []string{`local    "my "db""    "all"    scram-sha-256`,
			"SET password_encryption = 'scram-sha-256';\n\\password \"all\""}},
		{odd, "3D000", "InitPostgres", "", []string{`CREATE DATABASE "my ""db""" OWNER "all";`}},
		{plain, "42501", byDatabase, "", []string{"GRANT CONNECT ON DATABASE plusmoin TO plusmoin;"}},
		{plain, "42501", "InitPostgres", "must be superuser to connect in binary upgrade mode", nil},
		{plain, "55000", byDatabase, "", []string{"ALTER DATABASE plusmoin ALLOW_CONNECTIONS true;"}},
		{copied, "55000", byDatabase, "", nil},
		{plain, "53300", byRole, "zu viele Verbindungen", []string{"ALTER ROLE plusmoin CONNECTION LIMIT -1;"}},
		{plain, "53300", byDatabase, "zu viele Verbindungen", []string{"ALTER DATABASE plusmoin CONNECTION LIMIT -1;"}},
		{plain, "53300", "InitProcess", "sorry, too many clients already", []string{strings.Join(whoConnects(), "\n")}},
		{plain, "57P03", "", "the database system is not accepting connections", []string{"hot_standby = on"}},
		{plain, "57P03", "", "the database system is starting up", nil},
		{plain, "XX000", "", "", nil},
	} {
		var got []string
		for _, r := range c.a.afterRefusal(&pgconn.PgError{Code: c.code, Routine: c.routine, Message: c.message}).remedies {
			got = append(got, strings.Join(r.Lines, "\n"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %q, want %q", c.code, c.message, got, c.want)
		}
	}
}

// The words that say that pg_hba.conf has no line are those of every language
// that the servers here speak, and none of those that say that it rejects.
func TestNotListedInEveryLanguage(t *testing.T) {
	files, err := filepath.Glob("/usr/share/locale/*/LC_MESSAGES/postgres-*.mo")
	must(t, err)
	if len(files) == 0 {
		t.Skip("NOT CHECKED: no catalogs of messages are installed")
	}
	checked := 0
	for _, file := range files {
		for id, text := range messages(t, file) {
			if !strings.HasPrefix(id, "no pg_hba.conf entry for") && !strings.HasPrefix(id, "pg_hba.conf rejects") || strings.Contains(id, "replication") {
				continue
			}
			checked++
			if missing := strings.HasPrefix(id, "no "); unlisted(text) != missing {
				t.Errorf("%s: %q is taken for a missing line: %v", file, text, !missing)
			}
		}
	}
	if checked == 0 {
		t.Error("nothing was found in the catalogs")
	}
}

// messages reads a catalog of gettext.
func messages(t *testing.T, file string) map[string]string {
	data, err := os.ReadFile(file)
	must(t, err)
	word := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	text := func(at int) string { return string(data[word(at+4) : word(at+4)+word(at)]) }
	found := map[string]string{}
	for i := range word(8) {
		found[text(word(12)+8*i)] = text(word(16) + 8*i)
	}
	return found
}

// Whatever a server answers, an inspection goes on.
func TestDecodeOfAnything(t *testing.T) {
	for _, row := range [][][]byte{{}, {nil}, {[]byte("")}, {[]byte("{")}, {[]byte(`[1, {"x": null}]`)}, {[]byte(`{"Role": 3}`)}} {
		var b about
		var list []blocker
		decode(reply{rows: [][][]byte{row}}, &b)
		decode(reply{rows: [][][]byte{row}}, &list)
	}
	var s []Session
	decode(reply{rows: [][][]byte{{[]byte(`[{"pid": 4000000000, "application": "a\u202eb\u0007\u009b"}]`)}}}, &s)
	if len(s) != 1 || s[0].PID != 4_000_000_000 || strings.ContainsAny(s[0].Application, "\u202e\u0007\u009b") {
		t.Errorf("%#v", s)
	}
}

func TestLiteral(t *testing.T) {
	for text, want := range map[string]string{"a": "'a'", "a'b": "'a''b'", `a\'`: `E'a\\'''`} {
		if got := literal(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
