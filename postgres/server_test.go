package postgres

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

func TestMasterAndSlave(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	m, s := nodeOf(servers[0]), nodeOf(servers[1])
	master, slave := openFleet(t, labSettings()), openFleet(t, labSettings())

	seen := lookAt(t, master, m)
	if !answered(seen) || seen.Slave || seen.Row != nil {
		t.Fatalf("master before the first beat: %+v", seen)
	}
	confirmed(t, sendBeat(t, master, beatOf(7, m, 1_600_000_000_123_456)))
	want := cluster.Row{Cluster: 7, Master: m.String(), Stamp: 1_600_000_000_123_456}
	if seen = lookAt(t, master, m); seen.Row == nil || *seen.Row != want {
		t.Fatalf("row on the master: %+v", seen.Row)
	}
	seen = lookUntil(t, slave, s, func(s cluster.Sighting) bool { return s.Row != nil })
	if !seen.Slave || *seen.Row != want {
		t.Fatalf("row on the slave: %+v %+v", seen, seen.Row)
	}
	facts := lookAt(t, master, m).Facts
	if facts.SystemID == 0 || facts.SystemID != seen.Facts.SystemID || facts.ServerVersion < 100000 ||
		facts.ServerPort != m.Port || facts.Timeline != 1 || facts.LSN == 0 || facts.SyncBlocked != cluster.No {
		t.Errorf("facts of the master: %+v", facts)
	}
	if seen.Facts.Receiver.Known || seen.Facts.ReplayPaused != cluster.No || seen.Facts.LSN == 0 {
		t.Errorf("what a role without a grant sees of the slave: %+v", seen.Facts)
	}
	sql(t, servers[0], "GRANT pg_read_all_stats TO plusmoin")
	seen = lookUntil(t, slave, s, func(s cluster.Sighting) bool { return s.Facts.Receiver.Running })
	if seen.Facts.Receiver.Upstream != m.String() || seen.Facts.Timeline != 1 || seen.Facts.Receiver.LastMessage == 0 {
		t.Errorf("with the grant: %+v", seen.Facts)
	}
	must(t, servers[1].PauseReplay(t.Context()))
	lookUntil(t, slave, s, func(s cluster.Sighting) bool { return s.Facts.ReplayPaused == cluster.Yes })
	must(t, servers[1].ResumeReplay(t.Context()))

	// The timeline outlives the receiver, and follows a promotion.
	must(t, servers[0].Kill(t.Context()))
	dropped(t, master)
	lookUntil(t, master, m, because(cluster.ReasonRefused))
	seen = lookUntil(t, slave, s, func(s cluster.Sighting) bool { return s.Facts.Receiver.Known && !s.Facts.Receiver.Running })
	if seen.Facts.Timeline != 1 {
		t.Errorf("without a receiver: %+v", seen.Facts)
	}
	must(t, servers[1].Promote(t.Context()))
	lookUntil(t, slave, s, func(s cluster.Sighting) bool { return answered(s) && !s.Slave && s.Facts.Timeline == 2 })
}

func TestAccess(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	ours, err := lab.Authority("ours")
	must(t, err)
	other, err := lab.Authority("other")
	must(t, err)
	server, err := lab.Master(t.Context(), "m", pglab.TLS(ours))
	must(t, err)
	plain, err := lab.Master(t.Context(), "plain")
	must(t, err)
	passfile := filepath.Join(t.TempDir(), "pass")
	must(t, os.WriteFile(passfile, []byte("*:*:*:"+pglab.User+":"+pglab.Password+"\n"), 0o600))
	n := nodeOf(server)
	for name, c := range map[string]struct {
		node   cluster.Node
		change func(*Settings)
		want   cluster.Reason // none: answered
	}{
		"scram":               {n, func(*Settings) {}, ""},
		"prefer":              {n, func(s *Settings) { s.SSLMode = "" }, ""},
		"prefer without tls":  {nodeOf(plain), func(s *Settings) { s.SSLMode = "prefer" }, ""},
		"require without tls": {nodeOf(plain), func(s *Settings) { s.SSLMode = "require" }, cluster.ReasonTLS},
		"verify-full":         {n, func(s *Settings) { s.SSLMode, s.SSLRootCert = "verify-full", ours.File() }, ""},
		"another authority":   {n, func(s *Settings) { s.SSLMode, s.SSLRootCert = "verify-full", other.File() }, cluster.ReasonTLS},
		"passfile":            {n, func(s *Settings) { s.Password, s.PassFile = "", passfile }, ""},
		"no password":         {n, func(s *Settings) { s.Password, s.PassFile = "", "/nonexistent" }, cluster.ReasonAuth},
		"wrong password":      {n, func(s *Settings) { s.Password = "not it" }, cluster.ReasonAuth},
		"wrong role":          {n, func(s *Settings) { s.User = "nobody" }, cluster.ReasonAuth},
		"wrong database":      {n, func(s *Settings) { s.DBName = "none" }, cluster.ReasonMisconfigured},
		"socket":              {cluster.Node{Host: server.SocketDir(), Port: server.Port()}, func(*Settings) {}, ""},
		"no socket":           {cluster.Node{Host: t.TempDir(), Port: server.Port()}, func(*Settings) {}, cluster.ReasonRefused},
		"no host":             {cluster.Node{Host: "no-such-host.invalid", Port: 1}, func(*Settings) {}, cluster.ReasonDNS},
		"two hosts":           {cluster.Node{Host: "a,b", Port: 1}, func(*Settings) {}, cluster.ReasonMisconfigured},
		"role: no row":        {n, func(s *Settings) { s.IsSlaveStatement = "SELECT true WHERE false" }, cluster.ReasonBadAnswer},
		"role: number; end":   {n, func(s *Settings) { s.IsSlaveStatement = "SELECT 0; " }, ""},
		"role: no SQL":        {n, func(s *Settings) { s.IsSlaveStatement = "gibberish" }, cluster.ReasonMisconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFleet(t, with(c.change))
			seen := lookUntil(t, f, c.node, func(s cluster.Sighting) bool { return s.Outcome != cluster.Connecting })
			if seen.Reason != c.want || answered(seen) != (c.want == "") {
				t.Fatalf("%+v", seen)
			}
			if strings.Contains(seen.Error, "not it") || strings.Contains(seen.Error, pglab.Password) {
				t.Errorf("the password is told: %s", seen.Error)
			}
		})
	}
}

// Nothing in the environment changes where or how we connect.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "192.0.2.1", "PGPORT": "1", "PGUSER": "x", "PGDATABASE": "x", "PGPASSWORD": "x", "PGPASSFILE": "/x",
		"PGOPTIONS": "-c work_mem=1", "PGAPPNAME": "x", "PGSSLMODE": "verify-full", "PGSSLCERT": "/x", "PGSSLKEY": "/x",
		"PGSSLROOTCERT": "/x", "PGSSLCERTMODE": "", "PGTARGETSESSIONATTRS": "standby", "PGTZ": "x", "PGCONNECT_TIMEOUT": "x",
		"PGREQUIREAUTH": "none", "PGCHANNELBINDING": "require", "PGMAXPROTOCOLVERSION": "9", "PGSSLNEGOTIATION": "direct",
	} {
		t.Setenv(name, value)
	}
	s := with(func(s *Settings) { s.Password, s.DBName = "", `it's \\ "x" = 1` })
	c, err := s.config(cluster.Node{Host: "::1", Port: 77})
	must(t, err)
	if c.Host != "::1" || c.Port != 77 || c.Database != s.DBName || c.User != pglab.User || c.Password != "" ||
		c.TLSConfig != nil || len(c.Fallbacks) != 0 || c.ValidateConnect != nil || c.RequireAuth != "" || c.ChannelBinding != "prefer" {
		t.Errorf("%+v", c)
	}
	if _, ok := c.RuntimeParams["options"]; ok || c.RuntimeParams["application_name"] != "plusmoin" || len(c.RuntimeParams) != 5 {
		t.Errorf("%v", c.RuntimeParams)
	}
	t.Setenv("PGSERVICE", "x")
	if _, err := Open(labSettings(), slog.Default()); err == nil {
		t.Error("a service was taken or passed over silently")
	}
}

func TestPasswordIsRedacted(t *testing.T) {
	s := labSettings()
	encoded, err := json.Marshal(s)
	must(t, err)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", s, s, s, s.Password), string(encoded)} {
		if strings.Contains(text, pglab.Password) {
			t.Errorf("told in %s", text)
		}
	}
}
