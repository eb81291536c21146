package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Lock is a pid file that this process holds. The lock is one of fcntl: it ends
// with the process, however that ends, no child inherits it, and the system
// knows whose it is. Closing any descriptor of the file would give it up, so
// nothing else in the process may open it.
type Lock struct {
	file *os.File
}

// HeldError says that another process holds the lock.
type HeldError struct {
	PID int // 0 if it cannot be seen from here
}

func (e HeldError) Error() string {
	if e.PID <= 0 {
		return "already running"
	}
	return fmt.Sprintf("already running with pid %d", e.PID)
}

// Acquire locks the pid file at path, which is made if it is missing, and
// writes this process's id to it. What a dead process has left in it is
// replaced; a file that holds anything but a number is not, since it is no pid
// file. The error is a HeldError if another process was first.
func Acquire(path string) (*Lock, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, err
		}
		l := &Lock{file}
		err = l.take(path)
		if err == nil {
			return l, nil
		}
		_ = file.Close() // nothing was written
		if !errors.Is(err, errReplaced) {
			return nil, err
		}
	}
}

// errReplaced says that the locked file is not the one at its path any more:
// the process that held it has removed it meanwhile.
var errReplaced = errors.New("the pid file was replaced")

func (l *Lock) take(path string) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	switch err := unix.FcntlFlock(l.file.Fd(), unix.F_SETLK, whole(unix.F_WRLCK)); {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		pid, _ := holder(l.file) // unknown is 0
		return HeldError{pid}
	case err != nil:
		return fmt.Errorf("locking %s: %w", path, err)
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(info, now) {
		return errReplaced
	}
	if !holdsNumber(l.file) {
		return fmt.Errorf("%s holds something else than a process id", path)
	}
	return l.write()
}

func (l *Lock) write() error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := l.file.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return l.file.Truncate(int64(len(text)))
}

// Release removes the pid file and then gives up the lock. Where the folder
// does not let the file be removed it is emptied.
func (l *Lock) Release() {
	ours, err := l.file.Stat()
	if err == nil {
		if now, err := os.Stat(l.file.Name()); err == nil && os.SameFile(ours, now) {
			if os.Remove(l.file.Name()) != nil {
				_ = l.file.Truncate(0) // a stale id does no harm
			}
		}
	}
	_ = l.file.Close()
}

// holder returns the process that holds the lock on file, 0 if there is none.
func holder(file *os.File) (int, error) {
	lock := whole(unix.F_WRLCK)
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, lock); err != nil {
		return 0, fmt.Errorf("who locks %s: %w", file.Name(), err)
	}
	switch {
	case lock.Type == unix.F_UNLCK:
		return 0, nil
	case lock.Pid <= 0:
		return 0, fmt.Errorf("%s is locked by a process that cannot be seen from here", file.Name())
	}
	return int(lock.Pid), nil
}

// whole is a lock on a whole file.
func whole(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart}
}

// holdsNumber says that a file holds a process id or nothing.
func holdsNumber(file io.ReaderAt) bool {
	data := make([]byte, 32)
	n, err := file.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) || n == len(data) {
		return false
	}
	text := bytes.TrimSpace(data[:n])
	_, err = strconv.Atoi(string(text))
	return len(text) == 0 || err == nil
}

// openPidFile opens a pid file to ask who holds it. It returns nil if there is
// none.
func openPidFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}
