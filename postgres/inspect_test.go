package postgres

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// inspectOne inspects nodes and returns what was found of the first.
func inspectOne(t *testing.T, s Settings, nodes ...cluster.Node) Inspection {
	t.Helper()
	found, err := Inspect(t.Context(), s, nodes, 0)
	must(t, err)
	if len(found) != len(nodes) || found[0].Node != nodes[0] {
		t.Fatalf("%+v", found)
	}
	return found[0]
}

func TestInspect(t *testing.T) {
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	m, s := nodeOf(servers[0]), nodeOf(servers[1])
	sql(t, servers[0], "GRANT pg_read_all_stats TO plusmoin")
	f := openFleet(t, labSettings())
	lookUntil(t, f, m, answered)
	confirmed(t, sendBeat(t, f, beatOf(3, m, 7_000_008)))
	must(t, servers[1].CatchUp(t.Context()))

	master := inspectOne(t, labSettings(), m, s)
	if master.Reason != "" || master.Slave || len(master.Rows) != 1 || master.Rows[0].Stamp != 7_000_008 ||
		master.Facts.SystemID == 0 || master.ClientAddr != "127.0.0.1" || !master.SeesStats || master.Latency <= 0 {
		t.Errorf("%+v", master)
	}
	if len(master.Standbys) != 1 || master.Standbys[0] != (Standby{Application: "s", Client: "127.0.0.1"}) {
		t.Errorf("standbys %+v", master.Standbys)
	}
	var own, fleet bool
	for _, s := range master.Sessions {
		own = own || s.PID == master.PID
		fleet = fleet || s.PID != master.PID && s.Application == "plusmoin"
	}
	if !own || !fleet {
		t.Errorf("sessions %+v, ours %d", master.Sessions, master.PID)
	}
	slave := inspectOne(t, labSettings(), s, m)
	if !slave.Slave || slave.ClusterName != "s" || slave.ReceiverTimeout != time.Minute || slave.Facts.Receiver.Upstream != m.String() {
		t.Errorf("%+v", slave)
	}
	if _, err := Inspect(t.Context(), Settings{}, []cluster.Node{m}, 0); err == nil {
		t.Error("settings without a statement were taken")
	}
}

// The statements of an inspection cannot write, whatever is_slave_statement is.
func TestInspectionIsReadOnly(t *testing.T) {
	server, err := pglab.New(t).Master(t.Context(), "m")
	must(t, err)
	sql(t, server, `CREATE FUNCTION writes() RETURNS bool LANGUAGE plpgsql AS 'BEGIN CREATE TABLE trace(); RETURN false; END';
GRANT CREATE ON SCHEMA public TO plusmoin`)
	in := inspectOne(t, with(func(s *Settings) { s.IsSlaveStatement = "SELECT writes()" }), nodeOf(server))
	told := slices.ContainsFunc(in.Findings, func(f Finding) bool { return f.Weight == Note && strings.Contains(f.Text, "writes") })
	if in.Reason != "" || in.Slave || !told {
		t.Errorf("%+v", in)
	}
	if got := sql(t, server, "SELECT to_regclass('trace')"); got != "" {
		t.Errorf("it has made %s", got)
	}
}

// What sits on the port can be anything; it neither hangs an inspection nor is
// it believed.
func TestInspectHostileServers(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  cluster.Reason
	}{
		"accepts and is silent": {silence, cluster.ReasonTimeout},
		"closes at once":        {func(net.Conn) {}, cluster.ReasonDisconnected},
		"answers nonsense":      {speaker{}.serve, cluster.ReasonBadAnswer},
		"closes at the row":     {speaker{func(_ net.Conn, sql string) bool { return sql != rowSQL }}.serve, cluster.ReasonDisconnected},
		"closes at a view":      {speaker{func(_ net.Conn, sql string) bool { return sql != standbysSQL }}.serve, cluster.ReasonDisconnected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			in := inspectOne(t, with(quick), fakeServer(t, c.serve))
			if in.Reason != c.want || len(in.Findings) == 0 || time.Since(began) > 3*time.Second {
				t.Errorf("after %v: %+v", time.Since(began), in)
			}
		})
	}
}

func TestQuoteName(t *testing.T) {
	for name, want := range map[string]string{
		"plusmoin": "plusmoin", "public": "public", "user": `"user"`, "Shop": `"Shop"`, `a"b`: `"a""b"`, "": `""`, "1a": `"1a"`,
	} {
		if got := quoteName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
