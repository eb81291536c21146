package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The rest of the package needs processes of other users and a whole program:
// the scripts in testdata/script test it.

// TestMain makes the test binary hold a pid file, for as long as its standard
// input stays open, when it is given one.
func TestMain(m *testing.M) {
	path := os.Getenv("HOLD_PID_FILE")
	if path == "" {
		os.Exit(m.Run())
	}
	lock, err := Acquire(path)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	lock.Release()
}

// hold starts a process that holds the pid file at path. Calling end lets it
// release the file.
func hold(t *testing.T, path string) (pid int, end func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "HOLD_PID_FILE="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("held\n"))
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "held\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	return cmd.Process.Pid, func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	if _, err := Find(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a file: %v", err)
	}
	pid, end := hold(t, path)
	p, err := Find(path)
	if err != nil || p.PID != pid {
		t.Fatalf("found %v, %v, want process %d", p, err, pid)
	}
	defer p.Close()
	var held HeldError
	if _, err := Acquire(path); !errors.As(err, &held) || held.PID != pid {
		t.Errorf("second lock: %v, want it held by %d", err, pid)
	}
	if data, _ := os.ReadFile(path); string(data) != strconv.Itoa(pid)+"\n" {
		t.Errorf("the refused one wrote %q", data)
	}

	end()
	if p.Running() {
		t.Error("still running after its end")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pid file after the end: %v", err)
	}
	lock, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	lock.Release()
}

func TestAcquireKeepsOtherFiles(t *testing.T) {
	for _, text := range []string{"{}", "12 13", strings.Repeat("1", 100)} {
		path := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Acquire(path); err == nil {
			t.Errorf("%q was taken for a pid file", text)
		}
		if data, _ := os.ReadFile(path); string(data) != text {
			t.Errorf("%q became %q", text, data)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		use  Use
		want string // part of the text, "" for no problem
	}{
		{file, Read, ""},
		{file, Write, ""},
		{file, Replace, ""},
		{dir + "/made/for/it", Write, ""},
		{dir + "/missing", Read, "there is no " + dir + "/missing"},
		{dir + "/none/missing", Read, "there is no directory " + dir + "/none"},
		{file + "/below", Write, file + " is no directory"},
		{dir, Read, "is a directory"},
		{dir, Replace, "is a directory"},
	} {
		p := Check(c.path, c.use, "")
		switch {
		case p == nil && c.want != "":
			t.Errorf("%s: no problem, want %q", c.path, c.want)
		case p != nil && (c.want == "" || !strings.Contains(p.Text, c.want)):
			t.Errorf("%s: %q, want %q", c.path, p.Text, c.want)
		}
	}
	if _, err := os.Stat(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder was made to read from: %v", err)
	}
}

func TestInheritable(t *testing.T) {
	env := []string{"A=1", "_GO_DAEMON=1", "NOTIFY_SOCKET=/x", "WATCHDOG_USEC=1", readyVar + "=100", nameVar + "=x", "B="}
	kept := slices.Clone(env)
	if got := Inheritable(env); !slices.Equal(got, []string{"A=1", "B="}) {
		t.Errorf("kept %q", got)
	}
	if !slices.Equal(env, kept) {
		t.Error("what was given has changed")
	}
}

func TestWithoutSecrets(t *testing.T) {
	env := []string{"A=1", "PGPASSWORD=x", "api_token=x", "AWS_SECRET_ACCESS_KEY=x", "PASSAGE=1", "B=PASSWORD", "SSH_PRIVATE_KEY=x"}
	kept := slices.Clone(env)
	if got := withoutSecrets(env); !slices.Equal(got, []string{"A=1", "PASSAGE=1", "B=PASSWORD"}) {
		t.Errorf("kept %q", got)
	}
	if !slices.Equal(env, kept) {
		t.Error("what was given has changed")
	}
}

func TestSameFile(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(dir+"/real", 0o755), os.Symlink("real", dir+"/link"), os.Symlink("real/later", dir+"/dangling"),
		os.WriteFile(dir+"/real/a", nil, 0o600), os.Link(dir+"/real/a", dir+"/b"), os.Symlink("loop", dir+"/loop"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/real/a", "/real/a", true}, {"/real/a", "/link/a", true}, {"/real/a", "/real/../link/./a", true},
		{"/real/a", "/b", true}, {"/real/later", "/dangling", true}, {"/link/none/x", "/real/none/x", true},
		{"/real/a", "/real/later", false}, {"/none", "/none2", false}, {"/real/a", "/a", false},
		{"/loop", "/loop", true}, {"/loop", "/real/a", false},
	} {
		if got := SameFile(dir+c.a, dir+c.b); got != c.want {
			t.Errorf("%s and %s: %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

func TestPatience(t *testing.T) {
	for _, c := range []struct{ watchdog, next, want time.Duration }{
		{30 * time.Second, time.Second, 30 * time.Second},
		{30 * time.Second, 15 * time.Second, 30 * time.Second},
		{30 * time.Second, 16 * time.Second, 60 * time.Second},
		{30 * time.Second, 59 * time.Second, 90 * time.Second},
		{30 * time.Second, time.Hour, time.Hour + 30*time.Second},
	} {
		if got := patience(c.watchdog, c.next); got != c.want {
			t.Errorf("watchdog %s, next in %s: %s, want %s", c.watchdog, c.next, got, c.want)
		}
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"/run/a-b_1.pid": "/run/a-b_1.pid",
		"/my run/x":      "'/my run/x'",
		"it's":           `'it'\''s'`,
		"$(reboot)":      "'$(reboot)'",
		"a;b":            "'a;b'",
		"":               "''",
	} {
		if got := quote(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
