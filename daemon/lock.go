package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"plusmoin/internal/lockfile"
)

// Lock is a pid file that this process holds.
type Lock struct {
	*lockfile.Lock
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
	lock, err := lockfile.Acquire(path, strconv.Itoa(os.Getpid())+"\n", isNumber)
	var held lockfile.HeldError
	switch {
	case errors.As(err, &held):
		return nil, HeldError{held.PID}
	case err != nil:
		return nil, err
	}
	return &Lock{lock}, nil
}

// isNumber says that a file holds a process id or nothing.
func isNumber(content []byte) bool {
	text := bytes.TrimSpace(content)
	_, err := strconv.Atoi(string(text))
	return len(text) == 0 || err == nil
}
