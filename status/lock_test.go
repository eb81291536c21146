package status

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// playOther holds, or only looks at, the lock of a status file, if the environment
// names one. It reports whether it did.
func playOther() bool {
	if path := os.Getenv("LOOK_AT_STATUS"); path != "" {
		pid, held, err := Held(path)
		fmt.Println(pid, held, err)
		return true
	}
	path := os.Getenv("HOLD_STATUS")
	if path == "" {
		return false
	}
	syscall.Umask(0o077)
	if _, err := Acquire(path, os.Getenv("HOLD_AS") == "daemon"); err != nil {
		fmt.Println("error:", err)
		return true
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return true
}

func holdStatus(t *testing.T, path, as string) (pid int, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "HOLD_STATUS="+path, "HOLD_AS="+as)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	}
	t.Cleanup(kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	return cmd.Process.Pid, kill
}

func TestHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "status.json")
	isHeld := func(path string, want int) {
		t.Helper()
		pid, held, err := Held(path)
		if pid != want || held != (want > 0) || err != nil {
			t.Errorf("held by %d, %t, %v, want %d", pid, held, err, want)
		}
	}
	if _, held, err := Held(path); held || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a lock: %t, %v", held, err)
	}
	pid, kill := holdStatus(t, path, "daemon")
	isHeld(path, pid)
	if !Daemon(path) {
		t.Error("the daemon is not seen to be one")
	}
	// By a link from elsewhere, as a web server may have it, it is the same.
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	isHeld(link, pid)
	var held HeldError
	if _, err := Acquire(path, false); !errors.As(err, &held) || held.PID != pid {
		t.Errorf("a second one: %v, want it held by %d", err, pid)
	}
	// A killed one is seen at once, and does not keep the next from its work.
	kill()
	isHeld(path, 0)
	pid, _ = holdStatus(t, path, "foreground")
	isHeld(path, pid)
	if Daemon(path) {
		t.Error("one in the foreground is taken for a daemon")
	}
}

// TestHeldIsSeenByEverybody: who may read the status may know who writes it.
func TestHeldIsSeenByEverybody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: what another user sees; only root can be another")
	}
	dir, err := os.MkdirTemp("", "plusmoin") // not in one that others cannot enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "status.json")
	pid, _ := holdStatus(t, path, "daemon")
	program := filepath.Join(dir, "look")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	sees := func(want string, as ...string) {
		t.Helper()
		line := slices.Concat(as, []string{program})
		cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
		cmd.Env = append(os.Environ(), "LOOK_AT_STATUS="+path)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q sees %q, %v, want %q", as, out, err, want)
		}
	}
	sees(fmt.Sprintf("%d true <nil>", pid), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
	sees("0 true <nil>", "unshare", "--pid", "--fork")
}
