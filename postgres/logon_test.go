package postgres

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// psql reports whether libpq gets into a database by the same words.
func psql(t *testing.T, n cluster.Node, environ ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "psql", "-w", "-X", "-At", "-c", "SELECT 1",
		"-h", n.Host, "-p", strconv.Itoa(n.Port), "-U", pglab.User, "-d", pglab.Database)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "PGCLIENTENCODING=UTF8", "PGCONNECT_TIMEOUT=10"}, environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// logsOn makes a session and ends it.
func logsOn(t *testing.T, s Settings, n cluster.Node) error {
	t.Helper()
	session, err := establish(t.Context(), t.Context(), s, n, &way{})
	if err == nil {
		session.close()
	}
	return err
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// Whatever password somebody gave the role, we are let in as psql is.
func TestPasswordsAsLibpq(t *testing.T) {
	t.Parallel()
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	for name, password := range map[string]string{
		"ligature":                "\ufb01x\u2168",
		"full width":              "\uff41\uff42\uff43",
		"superscript":             "x\u00b2\u00aa",
		"soft hyphen":             "pass\u00adword",
		"joiners":                 "a\u200db\u200cc",
		"no-break space":          "a\u00a0b",
		"zero width space":        "a\u200bb",
		"ideographic space":       "\u3000a\u3000",
		"decomposed":              "e\u0301\u00e9",
		"two directions":          "abc\u05d0",
		"one direction":           "\u0627\u06281\u0628",
		"two directions, spaced":  "a\u00a0\u05d0",
		"unassigned in 3.2":       "\u0221x\u00a0y",
		"emoji":                   "\U0001f600\u00a0",
		"private use and a space": "\ue000\u00a0",
		"control":                 "a\tb\x7f",
		"control behind ASCII":    "\u0085a\u00a0",
		"nothing but hyphens":     "\u00ad\u00ad",
		"spaces at the end":       "abc  ",
		"hangul":                  "\u1112\u1161\u11ab",
		"ordinary":                `it's \a : "p"`,
	} {
		sql(t, server, "ALTER ROLE plusmoin PASSWORD "+quoted(password))
		if out, ok := psql(t, nodeOf(server), "PGPASSWORD="+password); !ok {
			t.Fatalf("%s: psql: %s", name, out)
		}
		if err := logsOn(t, with(func(s *Settings) { s.Password = Password(password) }), nodeOf(server)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPassfileAsLibpq(t *testing.T) {
	t.Parallel()
	const password = `a:b\c `
	lab := pglab.New(t)
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	sql(t, server, "ALTER ROLE plusmoin PASSWORD "+quoted(password))
	must(t, server.SetConf(t.Context(), "log_min_messages", "fatal"))
	port := strconv.Itoa(n.Port)
	const good = `a\:b\\c `
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want bool
	}{
		"stars":                  {"*:*:*:*:" + good + "\n", 0o600, true},
		"whole":                  {"127.0.0.1:" + port + ":plusmoin:plusmoin:" + good, 0o400, true},
		"end of line of Windows": {"*:*:*:*:" + good + "\r\n", 0o600, true},
		"comment, other lines":   {"# *:*:*:*:x\n\nother:*:*:*:x\n*:1:*:*:x\n*:*:postgres:*:x\n*:*:*:*:" + good + "\n", 0o600, true},
		"first line that fits":   {"*:*:*:*:x\n*:*:*:*:" + good + "\n", 0o600, false},
		"no space at the end":    {"*:*:*:*:" + strings.TrimSpace(good) + "\n", 0o600, false},
		"password without \\":    {"*:*:*:*:a:b\\\\c \n", 0o600, false},
		"escaped host":           {"127\\.0.0.1:*:*:plus\\moin:" + good + "\n", 0o600, true},
		"escaped star":           {"\\*:*:*:*:" + good + "\n", 0o600, false},
		"more behind":            {"*:*:*:*:" + good + ":more\n", 0o600, true},
		"long line before":       {strings.Repeat("x", 70_000) + ":*:*:*:y\n*:*:*:*:" + good + "\n", 0o600, true},
		"long comment":           {"#" + strings.Repeat("x", 70_000) + "\n*:*:*:*:" + good + "\n", 0o600, true},
		"space before":           {" *:*:*:*:" + good + "\n", 0o600, false},
		"group may read":         {"*:*:*:*:" + good + "\n", 0o640, false},
		"others may read":        {"*:*:*:*:" + good + "\n", 0o604, false},
		"too few fields":         {"*:*:*:" + good + "\n", 0o600, false},
		"empty password":         {"*:*:*:*:\n*:*:*:*:" + good + "\n", 0o600, false},
	} {
		file := filepath.Join(t.TempDir(), "pass")
		must(t, os.WriteFile(file, []byte(c.text), c.mode))
		must(t, os.Chmod(file, c.mode))
		if out, ok := psql(t, n, "PGPASSFILE="+file); ok != c.want {
			t.Errorf("%s: psql %v: %s", name, ok, out)
		}
		err := logsOn(t, with(func(s *Settings) { s.Password, s.PassFile = "", file }), n)
		if (err == nil) != c.want || err != nil && classify(err).reason != cluster.ReasonAuth {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "b\\c") {
			t.Errorf("%s: the password is told: %v", name, err)
		}
	}
}

// A line may name a socket's directory, or localhost.
func TestPassfileForSocket(t *testing.T) {
	n := cluster.Node{Host: "/run/pg:x", Port: 5432}
	for line, want := range map[string]string{
		`localhost:*:*:*:a`:     "a",
		`/run/pg\:x:*:*:*:b`:    "b",
		`/run/other:*:*:*:c`:    "",
		`*:5432:d\:b:u:e\\\:\x`: `e\:x`,
	} {
		file := filepath.Join(t.TempDir(), "pass")
		must(t, os.WriteFile(file, []byte(line), 0o600))
		if got, lack := fromPassfile(file, n, "d:b", "u"); got != want || got == "" && lack == "" {
			t.Errorf("%s: %q, %q", line, got, lack)
		}
	}
}

// A pipe as any of the files costs no time and says what is wrong.
func TestFilesThatAreNone(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	for name, change := range map[string]func(*Settings){
		"sslrootcert": func(s *Settings) { s.SSLRootCert = pipe },
		"sslcert":     func(s *Settings) { s.SSLCert, s.SSLKey = pipe, pipe },
		"directory":   func(s *Settings) { s.SSLRootCert = t.TempDir() },
		"endless":     func(s *Settings) { s.SSLRootCert = "/dev/zero" },
	} {
		s := with(change)
		s.SSLMode = "require"
		if _, err := s.login(cluster.Node{Host: "h", Port: 1}); err == nil || !strings.Contains(err.Error(), "plain file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, lack := fromPassfile(pipe, cluster.Node{Host: "h", Port: 1}, "d", "u"); !strings.Contains(lack, "plain file") {
		t.Errorf("passfile: %q", lack)
	}
}

func TestPolicy(t *testing.T) {
	for words, want := range map[string]string{
		"":                    "password md5 gss sspi scram-sha-256 none",
		"scram-sha-256":       "scram-sha-256",
		"md5 , scram-sha-256": "md5 scram-sha-256",
		"!password,!none":     "md5 gss sspi scram-sha-256",
	} {
		p, err := parsePolicy(words)
		must(t, err)
		var got []string
		for _, m := range methods {
			if p.check(m) == nil {
				got = append(got, string(m))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v", words, got)
		}
	}
	for _, words := range []string{"scram", "md5,", "!md5,none", "md5,!none", "md5,md5", "!", ","} {
		if _, err := parsePolicy(words); err == nil {
			t.Errorf("%q was taken", words)
		}
	}
}

// A black hole in front costs its head start once, and nothing after that.
func TestRaceAgainstBlackHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hole, silent, good := address{"tcp", "hole"}, address{"tcp", "silent"}, address{"tcp", "good"}
		try := func(ctx context.Context, a address, reached func()) (*logon, error) {
			switch a {
			case silent:
				reached()
				fallthrough
			case hole:
				<-ctx.Done()
				return nil, ctx.Err()
			}
			reached()
			return &logon{}, nil
		}
		for _, c := range []struct {
			list []address
			want time.Duration
		}{
			{[]address{hole, good}, headStart},
			{[]address{hole, hole, good}, 2 * headStart},
			{[]address{silent, good}, 2 * time.Second}, // its share
			{[]address{good, hole}, 0},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			began := time.Now()
			on, at, err := race(ctx, c.list, try)
			if took := time.Since(began); on == nil || at != good || err != nil || took != c.want {
				t.Errorf("%v: %v after %v: %v", c.list, at, took, err)
			}
			cancel()
		}
		w := way{last: good}
		if got := w.ordered([]address{hole, silent, good}); got[0] != good || got[1] != hole || got[2] != silent {
			t.Errorf("%v", got)
		}
		w.last = address{"tcp", "gone"}
		if got := w.ordered([]address{hole, good}); got[0] != hole || len(got) != 2 {
			t.Errorf("%v", got)
		}
	})
}

func TestRaceTellsAllErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	list := []address{{"tcp", "a"}, {"tcp", "b"}}
	_, _, err := race(ctx, list, func(_ context.Context, a address, _ func()) (*logon, error) {
		return nil, wrong{cluster.ReasonBadAnswer, "at " + a.name}
	})
	if err == nil || !strings.Contains(err.Error(), "at a") || !strings.Contains(err.Error(), "at b") {
		t.Error(err)
	}
}

func TestNameSources(t *testing.T) {
	for text, want := range map[string]string{
		"hosts: files dns\n": "",
		"passwd: files sss\n# hosts: sss\nhosts:\tfiles [!UNAVAIL=return] dns # x": "",
		"hosts: files mdns4_minimal [NOTFOUND=return] dns sss\n":                   "mdns4_minimal sss",
		"hosts: resolve [!UNAVAIL = return] files myhostname dns":                  "resolve myhostname",
	} {
		if got := strings.Join(sourcesBeside(text), " "); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// What the C library knows is had by way of getent, within the time there is.
func TestNamesByGetent(t *testing.T) {
	found, err := askSystem(t.Context(), "localhost")
	if err != nil || len(found) == 0 || net.ParseIP(found[0]) == nil {
		t.Errorf("localhost: %v, %v", found, err)
	}
	if found, err := askSystem(t.Context(), "no-such-host.invalid"); err == nil || len(found) > 0 {
		t.Errorf("no host: %v", found)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := askSystem(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "without the program getent") {
		t.Errorf("without getent: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\nexec /bin/sleep 60\n"), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := askSystem(ctx, "x"); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("a getent that hangs: %v after %v", err, time.Since(began))
	}
}
