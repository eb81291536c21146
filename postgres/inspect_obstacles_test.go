package postgres

import (
	"slices"
	"strings"
	"testing"

	"plusmoin/internal/pglab"
)

// told returns the findings of a weight that contain words.
func told(in Inspection, weight Weight, words string) []Finding {
	return slices.DeleteFunc(slices.Clone(in.Findings), func(f Finding) bool {
		return f.Weight != weight || !strings.Contains(f.Text, words)
	})
}

// A pooler is told for one, and what others find in its sessions is as it was.
func TestInspectThroughPgbouncer(t *testing.T) {
	t.Parallel()
	server, err := pglab.New(t, pglab.Trust()).Master(t.Context(), "m")
	must(t, err)
	n := pgbouncer(t, server, "transaction", "ignore_startup_parameters = lock_timeout, statement_timeout, synchronous_commit")
	in := inspectOne(t, labSettings(), n)
	if !in.Pooled || in.Reason != "" || len(told(in, Note, "write host and port of the server itself")) != 1 {
		t.Errorf("%+v", in)
	}
	for _, setting := range []string{"default_transaction_read_only", "statement_timeout", "search_path"} {
		if got, want := through(t, n, "SHOW "+setting), sql(t, server, "SHOW "+setting); got != want {
			t.Errorf("%s is %q in the sessions of the pooler, want %q", setting, got, want)
		}
	}
	if direct := inspectOne(t, labSettings(), nodeOf(server)); direct.Pooled || len(told(direct, Note, "server itself")) != 0 {
		t.Errorf("%+v", direct)
	}
}

// Through pgbouncer as it is installed there is no way, and the sentence says what
// to do.
func TestInspectThroughPgbouncerAsInstalled(t *testing.T) {
	t.Parallel()
	server, err := pglab.New(t, pglab.Trust()).Master(t.Context(), "m")
	must(t, err)
	in := inspectOne(t, labSettings(), pgbouncer(t, server, "session", ""))
	if len(told(in, Problem, "connect to the server itself")) != 1 {
		t.Errorf("%+v", in)
	}
}

// pgpool2 answers from several servers.
func TestInspectThroughPgpool(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t, pglab.Trust())
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	n := pgpool(t, servers)
	var in Inspection
	until(t, func() bool {
		in = inspectOne(t, labSettings(), n)
		return in.Version != ""
	}, func() { t.Logf("%+v", in) })
	if len(told(in, Problem, "write host and port of the server itself"))+len(told(in, Note, "write host and port of the server itself")) == 0 {
		t.Errorf("%+v", in)
	}
}

// Who is let in with TLS only is not given a line without, and who is to bring a
// certificate none at all.
func TestInspectKeepsShutWhatIsShut(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	authority, err := lab.Authority("ca")
	must(t, err)
	server, err := lab.Master(t.Context(), "m", pglab.TLS(authority), pglab.HBA("hostssl all all 127.0.0.1/32 scram-sha-256"))
	must(t, err)
	in := inspectOne(t, labSettings(), nodeOf(server))
	if len(in.Findings) != 1 || len(in.Findings[0].Remedies) != 1 || in.Findings[0].Remedies[0].Lines[0] != `"sslmode": "require",` {
		t.Errorf("%+v", in)
	}
	in = inspectOne(t, with(func(s *Settings) { s.SSLMode = "require" }), nodeOf(server))
	if in.Reason != "" {
		t.Errorf("%+v", in)
	}
	for _, line := range []string{"hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full",
		"host all all 127.0.0.1/32 reject", "host all all 127.0.0.1/32 ident",
		"host all all 127.0.0.1/32 radius radiusservers=127.0.0.1 radiussecrets=x radiusports=1"} {
		must(t, server.SetHBA(t.Context(), line))
		in = inspectOne(t, with(func(s *Settings) { s.SSLMode = "require" }), nodeOf(server))
		if in.Reason == "" || len(in.Findings) != 1 || len(in.Findings[0].Remedies) != 0 {
			t.Errorf("%s: %+v", line, in)
		}
	}
}

// A server protects itself from running out of transaction numbers, the earlier
// the younger it is.
func TestJudgeNumbers(t *testing.T) {
	for _, c := range []struct {
		version string
		age     int64
		weight  Weight
	}{
		{"15.1", 200_000_000, Fine}, {"15.1", 2_107_483_647, Note}, {"15.1", 2_144_483_646, Note}, {"15.1", 2_144_483_647, Problem},
		{"13.1", 2_144_483_647, Note}, {"13.1", 2_146_483_647, Problem}, {"", 0, Fine},
	} {
		in := &inspector{session: &session{conn: &wire{version: c.version}}, oldest: []oldest{{"Shop", c.age}, {"young", 5}}}
		in.judgeNumbers()
		if c.weight == Fine && len(in.Findings) != 0 || c.weight != Fine && (len(in.Findings) != 1 || in.Findings[0].Weight != c.weight ||
			in.Findings[0].Remedies[0].Lines[0] != `\connect "Shop"`) {
			t.Errorf("%s, %d: %+v", c.version, c.age, in.Findings)
		}
	}
}
