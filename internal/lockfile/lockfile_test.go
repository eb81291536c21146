package lockfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func anything([]byte) bool { return true }

// TestMain makes the test binary hold a file, by the lock that is named, for as
// long as its standard input stays open.
func TestMain(m *testing.M) {
	path := os.Getenv("HOLD_FILE")
	if path == "" {
		os.Exit(m.Run())
	}
	if err := holdHere(path, os.Getenv("HOLD_TO_READ") != ""); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// holdHere holds a file until this process ends.
func holdHere(path string, toRead bool) error {
	if !toRead {
		_, err := Acquire(path, "held\n", anything)
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, whole(unix.F_RDLCK))
}

// hold starts a process that holds the file at path, and returns it. It is killed
// at the end.
func hold(t *testing.T, path string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), "HOLD_FILE="+path), env...)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
}

func holds(t *testing.T, path string, want int) {
	t.Helper()
	if pid, err := Holder(path); pid != want || err != nil {
		t.Errorf("holder of %s: %d, %v, want %d", path, pid, err, want)
	}
}

func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if _, err := Holder(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	other := hold(t, path)
	holds(t, path, other.Process.Pid)
	var held HeldError
	if _, err := Acquire(path, "second", anything); !errors.As(err, &held) || held.PID != other.Process.Pid {
		t.Errorf("second lock: %v, want it held by %d", err, other.Process.Pid)
	}
	if data, _ := os.ReadFile(path); string(data) != "held\n" {
		t.Errorf("the refused one wrote %q", data)
	}
	// Killed, it holds nothing, and what it left is taken over.
	kill(other)
	holds(t, path, 0)
	lock, err := Acquire(path, "third", anything)
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := exec.CommandContext(t.Context(), "cat", path).Output(); string(data) != "third" {
		t.Errorf("the file says %q", data)
	}
	lock.Release()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file after the end: %v", err)
	}
}

// TestReaderIsNoHolder: whoever can read the file can lock it to read, and must
// not be taken for the process that holds it.
func TestReaderIsNoHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	reader := hold(t, path, "HOLD_TO_READ=1")
	holds(t, path, 0)
	var held HeldError
	if _, err := Acquire(path, "", anything); !errors.As(err, &held) || held.PID != reader.Process.Pid {
		t.Errorf("lock beside a reader: %v, want process %d to be named", err, reader.Process.Pid)
	}
}

// TestChildrenDoNotInherit: what a program leaves behind must not keep the next
// one from starting.
func TestChildrenDoNotInherit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := Acquire(path, "", anything)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer kill(child)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", child.Process.Pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("the child has nothing open: %v", err)
	}
	for _, link := range links {
		if target, _ := os.Readlink(link); target == path {
			t.Errorf("the child has the file open as %s", link)
		}
	}
	lock.Release()
	other := hold(t, path)
	holds(t, path, other.Process.Pid)
}

// TestReplacedMeanwhile has a holder release, and so remove, the file that
// another process has just opened: a lock on that would keep nobody out.
func TestReplacedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := take(file, path, "", anything); !errors.Is(err, errReplaced) {
		t.Errorf("lock of a removed file: %v", err)
	}
}

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := Acquire(path, "ours\n", anything)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(want bool, problem string) {
		t.Helper()
		made, err := lock.Keep()
		if made != want || (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("made %t, error %v, want %t and %q", made, err, want, problem)
		}
	}
	heldByUs := func() {
		t.Helper()
		// One's own lock is not seen by oneself.
		out, err := exec.CommandContext(t.Context(), "grep", "-c", fmt.Sprintf("POSIX  ADVISORY  WRITE %d ", os.Getpid()), "/proc/locks").Output()
		if err != nil || strings.TrimSpace(string(out)) != "1" {
			t.Errorf("we hold %q locks, %v, want 1", out, err)
		}
	}
	keep(false, "")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	keep(true, "")
	keep(false, "")
	heldByUs()
	// To read it here would give up the lock.
	if data, _ := exec.CommandContext(t.Context(), "cat", path).Output(); string(data) != "ours\n" {
		t.Errorf("the file made again says %q", data)
	}

	// Another file that took its place is not destroyed.
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	keep(false, "holds something else")
	if data, _ := os.ReadFile(path); string(data) != "another's" {
		t.Errorf("the other file became %q", data)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	keep(false, "")
	heldByUs()

	// Nor is one that another process holds.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other := hold(t, path)
	keep(false, fmt.Sprintf("process %d holds", other.Process.Pid))
	lock.Release()
	holds(t, path, other.Process.Pid)
}

// TestNoFile: what is no file of ours is refused at once, whatever it is.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "named pipe", link: "symbolic link", dir: "directory"} {
		done := make(chan error, 1)
		go func() {
			_, err := Acquire(path, "", anything)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s holds us up", path)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "target")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
}
