package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"plusmoin/internal/plainfile"
)

// File is a file and the goroutine that writes it. Its methods may be called by
// one goroutine at a time.
type File struct {
	path   string
	log    *slog.Logger
	kept   []byte
	newest chan []byte // capacity 1: what is to be written next
	done   chan struct{}
}

const (
	mode = 0o600
	// patience is how long Close waits for the last write: a disk may hang.
	patience = time.Second
	// most bounds what is read, in bytes. What is larger was not written here.
	most = 64 << 20
)

// Open reads the file at path, which need not exist, and makes its directory if
// that is missing. A file that cannot be read is set aside and told at error; an
// error says that there can be none.
func Open(path string, log *slog.Logger) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	f := &File{path: path, log: log, newest: make(chan []byte, 1), done: make(chan struct{})}
	// A run that was killed may have left what it was writing.
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"*"))
	for _, name := range left {
		_ = os.Remove(name)
	}
	kept, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		f.Reject(err)
	default:
		f.kept = kept
	}
	go f.write()
	return f, nil
}

// read returns what is in the file at path.
func read(path string) ([]byte, error) {
	file, err := plainfile.OpenOwn(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, err
}

// Kept returns what the last run kept, nil if nothing.
func (f *File) Kept() []byte { return f.kept }

// Reject sets the file aside, which cannot be used for the reason given.
func (f *File) Reject(why error) {
	aside := f.path + ".unusable"
	if err := os.Rename(f.path, aside); err != nil {
		f.log.Error("state file cannot be used, the heartbeat rows are; it could not be set aside",
			"file", f.path, "error", why, "rename", err)
		return
	}
	f.log.Error("state file cannot be used, the heartbeat rows are; it was set aside",
		"file", f.path, "aside", aside, "error", why)
}

// Keep lets data be written, instead of what waits to be. It does not wait.
func (f *File) Keep(data []byte) {
	select {
	case <-f.newest:
	default:
	}
	f.newest <- data
}

// Close writes what waits to be written, and waits for that for at most a
// second. Nothing may be kept after it.
func (f *File) Close() {
	close(f.newest)
	select {
	case <-f.done:
	case <-time.After(patience):
		f.log.Error("state file is not written: the disk hangs", "file", f.path)
	}
}

// write writes whatever is newest. That it cannot is told once, and so is that it
// can again.
func (f *File) write() {
	defer close(f.done)
	failing := false
	for data := range f.newest {
		err := renameio.WriteFile(f.path, data, mode, renameio.WithTempDir(filepath.Dir(f.path)), renameio.IgnoreUmask())
		switch {
		case err != nil && !failing:
			f.log.Error("state file cannot be written, a restart will go by an older one or by the heartbeat rows",
				"file", f.path, "error", err)
		case err == nil && failing:
			f.log.Error("state file is written again", "file", f.path)
		}
		failing = err != nil
	}
}
