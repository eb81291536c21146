package statefile_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plusmoin/statefile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) (*statefile.File, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	f, err := statefile.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return f, &log
}

func TestKeptOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.json")
	f, log := open(t, path)
	if f.Kept() != nil {
		t.Errorf("kept %q before anything was", f.Kept())
	}
	for _, data := range []string{"one", "two", "three"} {
		f.Keep([]byte(data))
	}
	f.Close()
	f, _ = open(t, path)
	defer f.Close()
	if string(f.Kept()) != "three" || log.Len() > 0 {
		t.Errorf("kept %q, log %s", f.Kept(), log)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
}

// TestLeftovers is for what a run that was killed while it wrote has left.
func TestLeftovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	torn := filepath.Join(filepath.Dir(path), ".state.json123")
	for file, text := range map[string]string{path: "whole", torn: "tor"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := open(t, path)
	defer f.Close()
	if _, err := os.Stat(torn); !os.IsNotExist(err) || string(f.Kept()) != "whole" {
		t.Errorf("kept %q, torn file: %v", f.Kept(), err)
	}
}

// TestUnusable is for files that are none: each is set aside, said, and not
// followed or waited for.
func TestUnusable(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			f, log := open(t, path)
			f.Keep([]byte("new"))
			f.Close()
			if f.Kept() != nil || !strings.Contains(log.String(), "set aside") {
				t.Errorf("kept %q, log %s", f.Kept(), log)
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != "new" {
				t.Errorf("%q, %v", data, err)
			}
			if _, err := os.Lstat(path + ".unusable"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoDirectory wants an error where there can be no directory.
func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := statefile.Open(filepath.Join(file, "state.json"), slog.New(slog.DiscardHandler)); err == nil {
		f.Close()
		t.Error("no error")
	}
}

// TestDirectoryGone loses the directory and gets it back: what cannot be written
// is told once, and that it can again.
func TestDirectoryGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "state.json")
	log := make(lines, 16)
	f, err := statefile.Open(path, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	f.Keep([]byte("lost"))
	log.await(t, "cannot be written")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.Keep([]byte("kept"))
	log.await(t, "written again")
}

// lines is a log that can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func (l lines) await(t *testing.T, text string) {
	t.Helper()
	select {
	case line := <-l:
		if !strings.Contains(line, text) {
			t.Errorf("log says %s, not %s", line, text)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("log does not say %s", text)
	}
}
