package pglab

import (
	"fmt"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	ctx := t.Context()
	m, err := New(t, Conf("work_mem", "1MB"), Conf("application_name", "all")).
		Master(ctx, "m", Conf("work_mem", "2MB"), Conf("search_path", "it's, public"))
	must(t, err)
	want(t, m, "SHOW work_mem", "2MB")
	want(t, m, "SHOW search_path", "it's, public")

	must(t, m.SetConf(ctx, "work_mem", "3MB"))
	want(t, m, "SHOW work_mem", "3MB")
	must(t, m.SetConf(ctx, "max_connections", "42"))
	want(t, m, "SHOW max_connections", "100")
	must(t, m.Restart(ctx))
	want(t, m, "SHOW max_connections", "42")
	if err := m.SetConf(ctx, "work_mem", "lots"); err == nil {
		t.Error("a bad value is accepted")
	}
	must(t, m.Stop(ctx))
	must(t, m.SetConf(ctx, "work_mem", "4MB"))
	must(t, m.Start(ctx))
	want(t, m, "SHOW work_mem", "4MB")
}

func TestHBA(t *testing.T) {
	ctx := t.Context()
	m := cluster(t, "m")[0]
	refused := func(password, why string) {
		t.Helper()
		if _, err := login(t, m, url(m, password, "")); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("login: %v, want %q", err, why)
		}
	}
	welcome := func(password string) {
		t.Helper()
		if who, err := login(t, m, url(m, password, "")); err != nil || who != User {
			t.Errorf("login: %q, %v", who, err)
		}
	}
	welcome(Password)
	refused("wrong", "password authentication failed")
	want(t, m, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '"+Database+"'", User)
	want(t, m, "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication FROM pg_roles WHERE rolname = '"+User+"'", "f")

	must(t, m.SetHBA(ctx, "host all all 127.0.0.0/8 reject"))
	refused(Password, "pg_hba.conf rejects")
	if err := m.SetHBA(ctx, "host all all nonsense"); err == nil {
		t.Error("a bad line is accepted")
	}
	must(t, m.SetHBA(ctx, "host all all 127.0.0.0/8 trust"))
	welcome("wrong")
}

func TestAllLoopbackAndTrust(t *testing.T) {
	m, err := New(t, AllLoopback(), Trust()).Master(t.Context(), "m")
	must(t, err)
	for _, host := range []string{"127.0.0.1", "127.1.2.3", "127.255.255.254"} {
		address := fmt.Sprintf("postgresql://%s@%s:%d/%s", User, host, m.Port(), Database)
		if who, err := login(t, m, address); err != nil || who != User {
			t.Errorf("%s: %q, %v", host, who, err)
		}
	}
	if _, err := login(t, m, fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/postgres", m.Port())); err == nil {
		t.Error("the superuser is let in without a password")
	}
	if err := dial(m, "::1"); err == nil {
		t.Error("it listens on IPv6")
	}
}

func TestTLS(t *testing.T) {
	ctx := t.Context()
	lab := New(t)
	ours, err := lab.Authority("ours")
	must(t, err)
	other, err := lab.Authority("other")
	must(t, err)
	m, err := lab.Master(ctx, "m", TLS(ours), HBA(
		"hostssl all "+User+" 127.0.0.0/8 scram-sha-256",
		"hostssl all postgres 127.0.0.0/8 cert"))
	must(t, err)

	verify := "sslmode=verify-full&sslrootcert="
	if who, err := login(t, m, url(m, Password, verify+ours.File())); err != nil || who != User {
		t.Errorf("verify-full: %q, %v", who, err)
	}
	if _, err := login(t, m, url(m, Password, verify+other.File())); err == nil || !strings.Contains(err.Error(), "verify failed") {
		t.Errorf("another authority: %v", err)
	}
	if _, err := login(t, m, url(m, Password, "sslmode=disable")); err == nil || !strings.Contains(err.Error(), "no encryption") {
		t.Errorf("without TLS: %v", err)
	}

	cert, key, err := ours.Client("postgres")
	must(t, err)
	must(t, lab.tools.who.own(key))
	address := fmt.Sprintf("postgresql://postgres@localhost:%d/postgres?sslcert=%s&sslkey=%s&%s%s", m.Port(), cert, key, verify, ours.File())
	if who, err := login(t, m, address); err != nil || who != "postgres" {
		t.Errorf("client certificate: %q, %v", who, err)
	}

	// TLS of the master changes nothing for a slave, which then gets it too.
	s, err := lab.Slave(ctx, "s", m)
	must(t, err)
	must(t, s.SetTLS(ctx, other))
	if who, err := login(t, s, url(s, Password, verify+other.File())); err != nil || who != User {
		t.Errorf("SetTLS: %q, %v", who, err)
	}
}
