package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// selfSigned makes a self-signed certificate with its key, in the place of those
// that a server has.
func selfSigned(t *testing.T, server *pglab.Server, arguments ...string) (cert string) {
	t.Helper()
	cert = sql(t, server, "SHOW ssl_cert_file")
	key := sql(t, server, "SHOW ssl_key_file")
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	if arguments[0] == "-key" {
		keyFile = arguments[1]
	} else {
		arguments = append([]string{"-keyout", keyFile}, arguments...)
	}
	cmd := exec.CommandContext(t.Context(), "openssl", append([]string{"req", "-x509", "-nodes", "-days", "2",
		"-out", filepath.Join(dir, "cert")}, arguments...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	for from, to := range map[string]string{keyFile: key, filepath.Join(dir, "cert"): cert} {
		data, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(to, data, 0o600)) // its owner stays
	}
	sql(t, server, "SELECT pg_reload_conf()")
	return filepath.Join(dir, "cert")
}

// What libpq lets us into by a certificate's kind, name and mode, we get into,
// and what it does not, we do not.
func TestCertificatesAsLibpq(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	a, err := lab.Authority("ours")
	must(t, err)
	server, err := lab.Master(t.Context(), "m", pglab.TLS(a), pglab.HBA("hostssl all all 127.0.0.1/32 scram-sha-256"))
	must(t, err)
	key := filepath.Join(t.TempDir(), "rsa")
	if out, err := exec.CommandContext(t.Context(), "openssl", "genrsa", "-out", key, "2048").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rsa := []string{"-key", key}
	pss := func(hash string, more ...string) []string {
		return append(append(rsa, "-"+hash, "-sigopt", "rsa_padding_mode:pss"), more...)
	}
	for _, c := range []struct {
		name      string
		arguments []string
		host      string
		full      bool // verify-full is let in
		binds     bool
	}{
		{"RSA-PSS, longest salt", append(pss("sha256"), "-subj", "/CN=localhost"), "localhost", true, true},
		{"RSA-PSS, SHA-384", append(pss("sha384"), "-subj", "/CN=localhost"), "localhost", true, true},
		{"RSA-PSS, SHA-512, salt as the hash", append(pss("sha512", "-sigopt", "rsa_pss_saltlen:digest"), "-subj", "/CN=localhost"), "localhost", true, true},
		{"ECDSA, SHA-384", []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384", "-subj", "/CN=localhost"}, "localhost", true, true},
		{"Ed25519", []string{"-newkey", "ed25519", "-subj", "/CN=localhost"}, "localhost", true, false},
		{"common name of another", append(rsa, "-subj", "/CN=other"), "localhost", false, true},
		{"common name of an address", append(rsa, "-subj", "/CN=127.0.0.1"), "127.0.0.1", true, true},
		{"common name beside another name", append(rsa, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:other"), "localhost", false, true},
		{"common name beside an address", append(rsa, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"), "localhost", true, true},
		{"address of another kind", append(rsa, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=DNS:localhost"), "127.0.0.1", true, true},
		{"address as a name", append(rsa, "-subj", "/CN=x", "-addext", "subjectAltName=DNS:127.0.0.1"), "127.0.0.1", true, true},
		{"capitals", append(rsa, "-subj", "/CN=LocalHost"), "localhost", true, true},
		{"two common names", append(rsa, "-subj", "/CN=localhost/CN=other"), "localhost", true, true},
		{"star alone", append(rsa, "-subj", "/CN=*"), "localhost", false, true},
	} {
		cert := selfSigned(t, server, c.arguments...)
		n := cluster.Node{Host: c.host, Port: server.Port()}
		modes, words := map[string]bool{"verify-full": c.full}, []string{"require"}
		if !c.full {
			modes["require"] = true
		}
		if !c.binds {
			words = bindings
		}
		for mode, want := range modes {
			for _, binding := range words {
				want := want && (c.binds || binding == "disable")
				root := cert
				if mode == "require" {
					root = "/nonexistent"
				}
				out, ok := psql(t, n, "PGPASSWORD="+pglab.Password, "PGSSLMODE="+mode, "PGSSLROOTCERT="+root, "PGCHANNELBINDING="+binding)
				if ok != want {
					t.Errorf("%s, %s, %s: psql %v: %s", c.name, mode, binding, ok, out)
				}
				err := logsOn(t, with(func(s *Settings) { s.SSLMode, s.SSLRootCert, s.ChannelBinding = mode, root, binding }), n)
				if (err == nil) != want {
					t.Errorf("%s, %s, %s: %v", c.name, mode, binding, err)
				}
			}
		}
	}
}

func TestNameMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, host string
		want          bool
	}{
		{"*.example.com", "db.example.com", true},
		{"*.EXAMPLE.com", "db.example.COM", true},
		{"*.example.com", "a.db.example.com", false},
		{"*.example.com", "example.com", false},
		{"*.example.com", ".example.com", false},
		{"*", "db", false},
		{"d*.example.com", "db.example.com", false},
		{"db.*.com", "db.example.com", false},
		{"db\x00.evil.com", "db", false},
	} {
		if got := nameMatches(c.pattern, c.host); got != c.want {
			t.Errorf("%q for %q: %v", c.pattern, c.host, got)
		}
	}
}

// A key is refused by the rule and with the words of libpq, and one with a
// passphrase is said to be such.
func TestKeyAsLibpq(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	ours, err := lab.Authority("ours")
	must(t, err)
	server, err := lab.Master(t.Context(), "m", pglab.TLS(ours), pglab.HBA("hostssl all all 127.0.0.1/32 cert"))
	must(t, err)
	n := nodeOf(server)
	cert, key, err := ours.Client(pglab.User)
	must(t, err)
	by := func(key string) error {
		return logsOn(t, with(func(s *Settings) { s.SSLMode, s.SSLCert, s.SSLKey = "require", cert, key }), n)
	}
	for mode, want := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: os.Getuid() == 0, 0o660: false, 0o644: false, 0o604: false, 0o601: false} {
		must(t, os.Chmod(key, mode))
		if out, ok := psql(t, n, "PGSSLMODE=require", "PGSSLCERT="+cert, "PGSSLKEY="+key); ok != want {
			t.Errorf("%04o: psql %v: %s", mode, ok, out)
		}
		if err := by(key); (err == nil) != want || err != nil && classify(err).reason != cluster.ReasonMisconfigured {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	must(t, os.Chmod(key, 0o600))
	locked := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(t.Context(), "openssl", "pkey", "-in", key, "-out", locked, "-aes256", "-passout", "pass:x").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, os.Chmod(locked, 0o600))
	if err := by(locked); err == nil || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("with a passphrase: %v", err)
	}
}

// The ways between TLS and none, compared with psql.
func TestModesAsLibpq(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	ours, err := lab.Authority("ours")
	must(t, err)
	server, err := lab.Master(t.Context(), "m", pglab.TLS(ours))
	must(t, err)
	n := nodeOf(server)
	for _, line := range []string{"hostssl", "hostnossl", "host"} {
		for _, method := range []string{"scram-sha-256", "password", "md5"} {
			must(t, server.SetHBA(t.Context(), line+" all all 127.0.0.1/32 "+method))
			for _, mode := range []string{"disable", "allow", "prefer", "require"} {
				out, ok := psql(t, n, "PGPASSWORD="+pglab.Password, "PGSSLMODE="+mode)
				err := logsOn(t, with(func(s *Settings) { s.SSLMode = mode }), n)
				if ok != (err == nil) {
					t.Errorf("%s %s, sslmode %s: psql %v: %s\nwe: %v", line, method, mode, ok, out, err)
				}
			}
		}
	}
	must(t, server.SetHBA(t.Context(), "local all all trust")) // none of these
	socket := cluster.Node{Host: server.SocketDir(), Port: server.Port()}
	for _, mode := range sslModes {
		_, ok := psql(t, socket, "PGPASSWORD="+pglab.Password, "PGSSLMODE="+mode, "PGSSLROOTCERT="+ours.File())
		if err := logsOn(t, with(func(s *Settings) { s.SSLMode, s.SSLRootCert = mode, ours.File() }), socket); ok != (err == nil) {
			t.Errorf("socket, sslmode %s: psql %v, we: %v", mode, ok, err)
		}
	}
}
