package status

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newTestFile returns a File in a folder of its own and its log.
func newTestFile(t *testing.T) (f *File, path string, book *logBook) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "status.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	log, book := newLog()
	f, err := NewFile(path, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f, path, book
}

// alone fails the test if there is anything beside the file.
func alone(t *testing.T, path string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name() != filepath.Base(path) {
		t.Errorf("the folder has %v", all)
	}
}

func TestTheFileIsReadableByAll(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	f, path, _ := newTestFile(t)
	f.Write(sample())
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
	alone(t, path)
}

func TestTheFileSaysStoppedAfterClose(t *testing.T) {
	f, path, _ := newTestFile(t)
	f.Write(sample())
	f.Close()
	d, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.State != Stopped || d.Round.Number != 17 || time.Since(d.UpdatedAt) > time.Minute {
		t.Errorf("state %s, round %d, updated at %v", d.State, d.Round.Number, d.UpdatedAt)
	}
}

func TestNothingIsWrittenThroughALink(t *testing.T) {
	f, path, book := newTestFile(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, filepath.Join(filepath.Dir(path), ".status.json.tmp")} {
		if err := os.Symlink(victim, name); err != nil {
			t.Fatal(err)
		}
	}
	f.Write(sample())
	if got, err := os.ReadFile(victim); string(got) != "untouched" {
		t.Errorf("the other file holds %q, %v", got, err)
	}
	if _, err := Read(path); err != nil {
		t.Error(err)
	}
	alone(t, path)
	if got := book.lines(t); len(got) != 0 {
		t.Errorf("log %q", got)
	}
}

func TestAMissingFolderStopsNothing(t *testing.T) {
	f, path, book := newTestFile(t)
	dir := filepath.Dir(path)
	f.Write(numbered(1))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	f.Write(numbered(2))
	f.Write(numbered(3))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.Write(numbered(4))
	if d, err := Read(path); err != nil || d.Round.Number != 4 {
		t.Errorf("round %d, %v", d.Round.Number, err)
	}
	if s := f.Stats(); s != (Stats{Written: 2, Failed: 2}) {
		t.Errorf("stats %+v", s)
	}
	lines := book.lines(t)
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ERROR ") || !strings.HasPrefix(lines[1], "INFO ") {
		t.Errorf("log %q", lines)
	}
}

func TestNewFileTidiesUp(t *testing.T) {
	_, path, _ := newTestFile(t)
	temp := filepath.Join(filepath.Dir(path), ".status.json.tmp")
	if err := os.WriteFile(temp, []byte("left by a killed process"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := os.Lstat(temp); !os.IsNotExist(err) {
		t.Errorf("the temporary file is left: %v", err)
	}
}

func TestNewFileRefusesWhatItMustNotReplace(t *testing.T) {
	for _, path := range []string{"", "/dev/null", t.TempDir()} {
		if _, err := NewFile(path, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("no error for %q", path)
		}
	}
}

// child is in the environment of a process that runs this test once more, to
// do what cannot be done in this one.
const child = "PLUSMOIN_STATUS_TEST"

func again(t *testing.T, what ...string) *exec.Cmd {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), child+"="+strings.Join(what, "|"))
	return cmd
}

// TestNoReaderSeesHalfADocument reads without a pause while another process
// writes without one, kills that one, and reads what it leaves.
func TestNoReaderSeesHalfADocument(t *testing.T) {
	if path := os.Getenv(child); path != "" {
		writeForEver(path)
	}
	for range 3 {
		path := filepath.Join(t.TempDir(), "status.json")
		cmd := again(t, path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Error(err)
		}
		last := readRounds(t, path, 40)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if after := readRounds(t, path, 1); after < last {
			t.Errorf("round %d follows round %d", after, last)
		}
		f, err := NewFile(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		alone(t, path)
		f.Close()
	}
}

func size(round uint64) int { return int(round % 20 * 20) }

func writeForEver(path string) {
	f, err := NewFile(path, slog.Default())
	if err != nil {
		panic(err)
	}
	for round := uint64(1); ; round++ {
		f.Write(crowd(size(round), round))
		if round == 1 {
			fmt.Println("writing")
		}
	}
}

// readRounds reads until it has seen n rounds and returns the last. It gives
// up when no new one comes.
func readRounds(t *testing.T, path string, n int) (last uint64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); n > 0; {
		d, err := Read(path)
		if err != nil {
			t.Error(err)
			return last
		}
		if d.Round.Number < last || len(d.Nodes) != size(d.Round.Number) || len(d.Clusterless) != len(d.Nodes) {
			t.Errorf("round %d after %d has %d nodes, %d clusterless", d.Round.Number, last, len(d.Nodes), len(d.Clusterless))
		}
		if d.Round.Number > last {
			last = d.Round.Number
			n--
		} else if time.Now().After(deadline) {
			t.Error("no new round comes")
			return last
		}
	}
	return last
}

// TestAFullDiskStopsNothing runs in a process of its own: on a small tmpfs in
// namespaces of its own, and under a limit on the size of files, which is what
// is left where no namespace can be had.
func TestAFullDiskStopsNothing(t *testing.T) {
	if how, dir, ok := strings.Cut(os.Getenv(child), "|"); ok {
		fullDisk(t, how, dir)
		return
	}
	for _, how := range []string{"tmpfs", "limit"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			cmd := again(t, how, dir)
			if how == "tmpfs" {
				cmd.SysProcAttr = ownNamespaces()
			}
			out, err := cmd.CombinedOutput()
			if refused := !bytes.HasPrefix(out, []byte("full")); refused && how == "tmpfs" {
				t.Logf("no tmpfs here, so with a limit: %v\n%s", err, out)
				out, err = again(t, "limit", dir).CombinedOutput()
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func ownNamespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

func fullDisk(t *testing.T, how, dir string) {
	fill, free := diskOf(t, how, dir)
	fmt.Println("full disk by " + how)
	log, book := newLog()
	path := filepath.Join(dir, "status.json")
	f, err := NewFile(path, log)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(crowd(10, 1))
	fill()
	for round := uint64(2); round < 5; round++ {
		f.Write(crowd(1000, round))
		if d, err := Read(path); err != nil || d.Round.Number != 1 || len(d.Nodes) != 10 {
			t.Errorf("round %d with %d nodes, %v", d.Round.Number, len(d.Nodes), err)
		}
		if _, err := os.Lstat(filepath.Join(dir, ".status.json.tmp")); !os.IsNotExist(err) {
			t.Errorf("the temporary file is left: %v", err)
		}
	}
	if s := f.Stats(); s != (Stats{Written: 1, Failed: 3}) {
		t.Errorf("stats %+v", s)
	}
	free()
	f.Write(crowd(1000, 5))
	f.Close()
	if d, err := Read(path); err != nil || d.Round.Number != 5 || d.State != Stopped {
		t.Errorf("round %d, %s, %v", d.Round.Number, d.State, err)
	}
	if lines := book.lines(t); len(lines) != 2 {
		t.Errorf("log %q", lines)
	}
}

// diskOf returns what fills the disk under dir and what frees it again.
func diskOf(t *testing.T, how, dir string) (fill, free func()) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	if how == "limit" {
		signal.Ignore(syscall.SIGXFSZ)
		var was syscall.Rlimit
		check(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
		less := syscall.Rlimit{Cur: 64 << 10, Max: was.Max}
		return func() { check(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &less)) },
			func() { check(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)) }
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal("no tmpfs: ", err)
	}
	ballast := filepath.Join(dir, "ballast")
	fill = func() {
		if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the disk is not full: %v", err)
		}
		check(os.Truncate(ballast, 4<<20-128<<10)) // room for half a document
	}
	return fill, func() { check(os.Remove(ballast)) }
}
