//go:build functional

package functional

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/status"
)

// Servers that take nothing but TLS and SCRAM are watched by a plusmoin that
// trusts one authority and the names it vouches for, and nobody else.
func TestVerifyFullAndScram(t *testing.T) {
	core(t, func(l *lab) {
		ours, strange := l.authority("ours"), l.authority("strange")
		servers := l.secured(ours, "m", "s1", "s2")
		m, s1 := servers[0], servers[1]
		w := l.watch(conf{"sslmode": "require", "connection_lifetime": 2, "max_sync_delay": 10}, m.node, s1.node, servers[2].node)
		w.Expect("plusmoin_up 0")
		began := m.sql("SELECT clock_timestamp()")
		w.trust(ours)
		for _, s := range servers {
			s.untilSecureSince(began)
		}
		w.Quiet(4)
		w.Shows("0: m > s1 s2")

		ours.vouch(s1, "elsewhere")
		s1.stop(10)
		s1.start()
		w.Expect("slave_down 0 s1")
		w.untilDistrusted("s1", "elsewhere")
		strange.vouch(s1, "s1")
		s1.stop(10)
		s1.start()
		w.untilDistrusted("s1", "unknown authority")
		w.Quiet(4)
		w.Shows("0: m > s2 (s1)")
		ours.vouch(s1, "s1")
		s1.stop(10)
		s1.start()
		w.Expect("slave_up 0 s1")

		// A session is not ended by a certificate that came later, and what the
		// next one is refused for is shown.
		strange.vouch(m, "m")
		m.renewCertificate()
		w.untilDistrusted("m", "unknown authority")
		w.Quiet(6)
		w.Shows("0: m > s1 s2")
		began = m.sql("SELECT clock_timestamp()")
		ours.vouch(m, "m")
		m.renewCertificate()
		w.UntilReason("m", "")
		m.untilSecureSince(began)
		w.end()
	})
}

// A wrong password is a mistake in the configuration. Sessions that are there go
// on, what needs a new one is down, and says why.
func TestWrongPasswordAfterReload(t *testing.T) {
	core(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1 := nodes[0], nodes[1]
		w := l.watch(conf{"max_sync_delay": 10}, nodes...)
		w.Expect("plusmoin_up 0")

		w.configure(l, conf{"password": "beetroot"})
		w.reloaded()
		for _, n := range nodes {
			w.UntilReason(n.name, cluster.ReasonAuth)
		}
		w.Quiet(12) // much longer than fail_interval
		w.Shows("0: m > s1 s2")
		w.UntilDiagnosis(0, cluster.OK)

		s1.stop(10)
		s1.start()
		w.Expect("slave_down 0 s1")
		w.UntilReason("s1", cluster.ReasonAuth)
		s1.untilStreaming(m)
		m.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plusmoin'")
		w.Expect("master_down 0 m")
		w.UntilReason("m", cluster.ReasonAuth)
		w.UntilDiagnosis(0, cluster.RefusingMaster)
		w.Shows("0: > s2 (m) (s1)")
		if text := w.Detail("m").Error; text == nil || !strings.Contains(*text, "password authentication failed") {
			l.Errorf("the error of m is %v, want it to speak of the password", text)
		}

		w.configure(l, conf{"password": "carrotcake"})
		w.reloaded()
		w.Expect("master_up 0 m", "slave_up 0 s1")
		for _, n := range nodes {
			w.UntilReason(n.name, "")
		}
		w.Shows("0: m > s1 s2")
		w.UntilDiagnosis(0, cluster.OK)
		if log := w.log(); strings.Contains(log, "beetroot") || strings.Contains(log, "carrotcake") {
			l.Error("there is a password in the log")
		}
		w.end()
	})
}

// secured is a server that takes logins over the network by TLS only.
type secured struct {
	node
	tls string // its certificate is in this folder when it starts
}

// secured makes a master and slaves of it, which have certificates for their
// names.
func (l *lab) secured(a authority, names ...string) []secured {
	l.Helper()
	var servers []secured
	for i, name := range names {
		s := secured{tls: l.TempDir()}
		command := []string{"master"}
		if i > 0 {
			command = []string{"slave", servers[0].replica()}
		}
		a.vouch(s, name)
		s.node = l.mounted(name, command, s.tls+":/tls:ro")
		servers = append(servers, s)
	}
	for i, s := range servers {
		if i > 0 {
			s.untilStreaming(servers[0].node)
		}
		s.demandTLS()
	}
	return servers
}

// demandTLS lets the server refuse logins over the network without TLS.
func (s secured) demandTLS() {
	s.lab.Helper()
	s.exec("sed", "-i", "s/^host /hostssl /", "/var/lib/postgresql/data/pg_hba.conf")
	s.sql("SELECT pg_reload_conf()")
	const lax = "SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local' AND (type, auth_method) <> ('hostssl', 'scram-sha-256')"
	if n := s.sql(lax); n != "0" {
		s.lab.Fatalf("%s has %s rules for logins over the network without TLS or SCRAM", s.name, n)
	}
	s.lab.await(s.name+" refuses what is not encrypted", func() (bool, error) {
		_, err := s.try("psql", "-X", "-c", "SELECT 1",
			"host="+s.name+" dbname=plusmoin user=plusmoin password=carrotcake sslmode=disable")
		if err != nil && strings.Contains(err.Error(), "no pg_hba.conf entry") {
			return true, nil
		}
		return false, err
	})
}

// untilSecureSince waits until the server itself says that plusmoin is here by TLS
// and has no session that is not or is older. The rules let nobody in but by
// SCRAM.
func (s secured) untilSecureSince(began string) {
	s.lab.Helper()
	sessions := `SELECT bool_and(ssl AND version LIKE 'TLSv1._' AND backend_start > '` + began + `') AND
		(SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'plusmoin')
		FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'plusmoin'`
	s.until("plusmoin's sessions on "+s.name+" are secure", sessions, "t")
}

// renewCertificate lets a running server take the certificate from its folder.
func (s secured) renewCertificate() {
	s.lab.Helper()
	s.exec("sh", "-c", "install -o postgres -g postgres -m 600 /tls/* /var/lib/postgresql/tls")
	s.sql("SELECT pg_reload_conf()")
}

// authority is a certificate authority of a story.
type authority struct {
	*pglab.Authority
	lab *lab
}

func (l *lab) authority(name string) authority {
	l.Helper()
	a, err := pglab.NewAuthority(filepath.Join(l.TempDir(), name), name)
	l.must(err)
	return authority{a, l}
}

// vouch gives a server a certificate for a host of that name from its next start
// on.
func (a authority) vouch(s secured, host string) {
	a.lab.Helper()
	_, _, err := a.Server(s.tls, host)
	a.lab.must(err)
}

// trust lets plusmoin trust servers whose name the authority vouches for, and no
// others, from now on.
func (w *watch) trust(a authority) {
	w.lab.Helper()
	certificate, err := os.ReadFile(a.File())
	w.lab.must(err)
	w.lab.must(os.WriteFile(filepath.Join(w.dir, "config", "root.crt"), certificate, 0o644))
	w.configure(w.lab, conf{"sslmode": "verify-full", "sslrootcert": "root.crt"})
	w.reloaded()
}

// untilDistrusted waits until a node's certificate is shown to be no good.
func (w *watch) untilDistrusted(name, because string) {
	w.lab.Helper()
	w.Until(name+" distrusted: "+because, func(d status.Document) bool {
		n := d.Nodes[w.Address(name)]
		return n.Reason != nil && *n.Reason == cluster.ReasonTLS && n.Error != nil && strings.Contains(*n.Error, because)
	})
}
