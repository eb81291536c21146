package status

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plusmoin/internal/lockfile"
	"plusmoin/internal/plainfile"
)

// lockPatience is how long Acquire waits for a process that was just killed.
const lockPatience = 500 * time.Millisecond

// The second line of the lock file.
const (
	inForeground = "foreground"
	asDaemon     = "daemon"
)

// LockPath returns the lock file of the status file at path, which is beside it.
func LockPath(path string) string { return path + ".lock" }

// TempPath returns the file that becomes the status file at path.
func TempPath(path string) string {
	dir, name := filepath.Split(path)
	return filepath.Join(dir, "."+name+".tmp")
}

// Lock is the right to write a status file and to run triggers.
type Lock struct {
	*lockfile.Lock
}

// HeldError says that another process has the right to write the status file at
// Path.
type HeldError struct {
	Path string
	PID  int // 0 if it cannot be seen from here
}

func (e HeldError) Error() string {
	if e.PID <= 0 {
		return "another plusmoin writes " + e.Path + ", which cannot be seen from here"
	}
	return fmt.Sprintf("another plusmoin writes %s, pid %d", e.Path, e.PID)
}

// Acquire takes the right to write the status file at path, which ends with the
// process at the latest. Its directory must be there. The error is a HeldError
// if another process has it.
func Acquire(path string, daemon bool) (*Lock, error) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		lock, err := acquire(LockPath(path), daemon)
		var held lockfile.HeldError
		switch {
		case err == nil:
			return &Lock{lock}, nil
		case !errors.As(err, &held):
			return nil, fmt.Errorf("lock of the status file: %w", err)
		case time.Now().After(end):
			return nil, HeldError{path, held.PID}
		}
	}
}

func acquire(path string, daemon bool) (*lockfile.Lock, error) {
	mode := inForeground
	if daemon {
		mode = asDaemon
	}
	text := fmt.Sprintf("%d\n%s\n", os.Getpid(), mode)
	lock, err := lockfile.Acquire(path, text, isLock)
	if !errors.Is(err, fs.ErrPermission) {
		return lock, err
	}
	// A killed plusmoin of another user has left it.
	switch pid, heldErr := lockfile.Holder(path); {
	case errors.Is(heldErr, fs.ErrPermission) && there(path):
		return nil, plainfile.Error{Path: path, Text: "cannot be read, so that nobody knows whether another plusmoin holds it"}
	case pid > 0 || errors.Is(heldErr, lockfile.ErrUnseen):
		return nil, lockfile.HeldError{Path: path, PID: pid}
	case heldErr != nil: // there is none, and none can be made
		return nil, err
	case os.Remove(path) != nil:
		return nil, err
	}
	return lockfile.Acquire(path, text, isLock)
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isLock says that a file holds what one of us has left in it.
func isLock(content []byte) bool {
	_, mode, _ := strings.Cut(strings.TrimSuffix(string(content), "\n"), "\n")
	return len(content) == 0 || mode == inForeground || mode == asDaemon
}

// Held tells which process may write the status file at path and run triggers,
// and whether there is one: once it has ended or was killed, however that was,
// there is none. Everybody who can enter the directory can ask. pid is 0 if there
// is none, or one that cannot be seen from here, as from inside another container.
// The error wraps fs.ErrNotExist if there is no lock file: plusmoin was
// stopped in order, or never ran; a killed one leaves it.
func Held(path string) (pid int, held bool, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the lock is beside the file itself
	}
	pid, err = lockfile.Holder(LockPath(path))
	if errors.Is(err, lockfile.ErrUnseen) {
		return 0, true, nil
	}
	return pid, pid > 0, err
}

// Daemon says that the process that holds the lock file of the status file at
// path is a daemon, as it says itself, and not one in the foreground.
func Daemon(path string) bool {
	file, err := lockfile.Open(LockPath(path))
	if err != nil {
		return false
	}
	defer file.Close() // it was only read
	content := make([]byte, 64)
	n, _ := file.ReadAt(content, 0) // what is not there is no daemon
	_, mode, _ := strings.Cut(strings.TrimSpace(string(content[:n])), "\n")
	return mode == asDaemon
}
