// Package lockfile keeps a lock on a file, by which everybody can see that a
// process is alive and which one it is.
//
//	lock, err := lockfile.Acquire(path, "words for people")
//	err = lock.Keep()                    // now and then: has it been removed?
//	lock.Release()
//
//	pid, err := lockfile.Holder(path)    // anybody who can read it
//
// It hides what kind of lock that is: one of fcntl, which ends with the process,
// however that ends, is inherited by no child, and of which the system knows
// whose it is. What the file says is for people and never believed. The lock
// holds on one machine.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"plusmoin/internal/plainfile"
)

// Lock is a file that this process holds. Closing any descriptor of the file
// would give it up, so nothing else in the process may open it.
type Lock struct {
	path, text string

	mu   sync.Mutex
	file *os.File
}

// HeldError says that another process holds the lock.
type HeldError struct {
	Path string
	PID  int // 0 if it cannot be seen from here
}

func (e HeldError) Error() string {
	if e.PID <= 0 {
		return "a process that cannot be seen from here holds " + e.Path
	}
	return fmt.Sprintf("process %d holds %s", e.PID, e.Path)
}

// ErrUnseen says that a process holds the lock that cannot be seen from here, as
// one outside of a container.
var ErrUnseen = errors.New("it is locked by a process that cannot be seen from here")

// errReplaced says that the locked file is not the one at its path any more:
// the process that held it has removed it meanwhile.
var errReplaced = errors.New("it was replaced meanwhile")

// Acquire locks the file at path, which is made if it is missing, and writes
// text to it. What a dead process has left in it is replaced if known says so of
// its content; else the error says that the file is something else. The error is
// a HeldError if another process was first.
func Acquire(path, text string, known func(content []byte) bool) (*Lock, error) {
	file, err := acquire(path, text, known)
	if err != nil {
		return nil, err
	}
	return &Lock{path: path, text: text, file: file}, nil
}

func acquire(path, text string, known func([]byte) bool) (*os.File, error) {
	for {
		file, err := plainfile.OpenOwn(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		err = take(file, path, text, known)
		if err == nil {
			return file, nil
		}
		_ = file.Close() // nothing was written
		if !errors.Is(err, errReplaced) {
			return nil, err
		}
	}
}

func take(file *os.File, path, text string, known func([]byte) bool) error {
	if err := lock(file, path); err != nil {
		return err
	}
	if !same(file, path) {
		return errReplaced
	}
	content := make([]byte, 4096)
	n, err := file.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n == len(content) || !known(content[:n]) {
		return plainfile.Error{Path: path, Text: "holds something else than a process id"}
	}
	if n == 0 { // it is new, and everybody may ask who holds it, whatever the umask is
		_ = file.Chmod(0o644)
	}
	// A full disk keeps nobody from holding the lock.
	if _, err := file.WriteAt([]byte(text), 0); err == nil {
		_ = file.Truncate(int64(len(text)))
	}
	return nil
}

// lock locks the file for this process.
func lock(file *os.File, path string) error {
	switch err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, whole(unix.F_WRLCK)); {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		pid, _ := blocker(file, unix.F_WRLCK) // unknown is 0
		return HeldError{path, pid}
	case err != nil:
		return fmt.Errorf("locking %s: %w", path, err)
	}
	return nil
}

func same(file *os.File, path string) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, now)
}

// Keep sees whether the file is still there. If it was removed it is made again
// and locked, and made is true; what has taken its place otherwise is told by the
// error, for as long as it is there.
func (l *Lock) Keep() (made bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || same(l.file, l.path) {
		return false, nil
	}
	file, err := acquire(l.path, l.text, func(content []byte) bool { return len(content) == 0 || string(content) == l.text })
	if err != nil {
		return false, err
	}
	_ = l.file.Close() // its file has gone
	l.file = file
	// If it has just come back, closing it has given up the new lock too.
	return true, lock(file, l.path)
}

// Release removes the file and then gives up the lock. Where the directory does
// not let the file be removed it is emptied.
func (l *Lock) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if same(l.file, l.path) && os.Remove(l.path) != nil {
		_ = l.file.Truncate(0) // stale words do no harm
	}
	_ = l.file.Close()
	l.file = nil
}

// Holder returns the process that holds the lock on the file at path, 0 if there
// is none. The error wraps fs.ErrNotExist if there is no such file, and ErrUnseen
// if there is a process but it cannot be told which.
func Holder(path string) (int, error) {
	file, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close() // it was only read
	return HolderOf(file)
}

// Open opens a file of which one wants to know more often who holds it.
func Open(path string) (*os.File, error) {
	return plainfile.Open(path)
}

// HolderOf is Holder for a file that is open.
func HolderOf(file *os.File) (int, error) {
	// Whoever may read the file can keep a lock to read. That of the holder is
	// the one that keeps others from reading.
	return blocker(file, unix.F_RDLCK)
}

// blocker returns the process whose lock keeps this one from such a lock, 0 if
// there is none.
func blocker(file *os.File, kind int16) (int, error) {
	lock := whole(kind)
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, lock); err != nil {
		return 0, fmt.Errorf("who locks %s: %w", file.Name(), err)
	}
	switch {
	case lock.Type == unix.F_UNLCK:
		return 0, nil
	case lock.Pid <= 0:
		return 0, fmt.Errorf("%s: %w", file.Name(), ErrUnseen)
	}
	return int(lock.Pid), nil
}

// whole is a lock on a whole file.
func whole(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart}
}
