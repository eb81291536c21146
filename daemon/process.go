package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// ErrNotRunning says that no process holds the lock on the pid file.
var ErrNotRunning = errors.New("plusmoin is not running")

// StrangerError says that the lock on the pid file is held by a process that is
// another program than this one.
type StrangerError struct {
	PID  int
	Name string // of the program, "" if it cannot be read
}

func (e StrangerError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("process %d, which holds the pid file, cannot be seen to be plusmoin", e.PID)
	}
	return fmt.Sprintf("process %d, which holds the pid file, is not plusmoin but %q", e.PID, e.Name)
}

// Process is the running daemon.
type Process struct {
	PID int

	pidFile *os.File
	process *os.Process // not to be confused with one that gets its id later
}

// Find returns the process that holds the lock on the pid file at path. What
// the file says is not looked at. The error is ErrNotRunning if there is none,
// a StrangerError if it is another program, and else says why it cannot be
// known. The result must be closed.
func Find(path string) (*Process, error) {
	file, err := openPidFile(path)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, ErrNotRunning
	}
	p, err := find(file)
	if err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	return p, nil
}

func find(file *os.File) (*Process, error) {
	pid, err := holder(file)
	if err != nil {
		return nil, err
	}
	if pid == 0 {
		return nil, ErrNotRunning
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, err
	}
	if err := sameProgram(pid); err != nil {
		return nil, err
	}
	// It holds the lock still, so process is not one that got its id since.
	if again, err := holder(file); err != nil || again != pid {
		return nil, errors.Join(ErrNotRunning, err)
	}
	return &Process{PID: pid, pidFile: file, process: process}, nil
}

// sameProgram returns a StrangerError unless pid runs a program of our name.
// The name is what everybody may see of a process, and what stays when the
// program's file is replaced by a newer one.
func sameProgram(pid int) error {
	name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	if err != nil {
		return StrangerError{PID: pid}
	}
	own, err := os.ReadFile("/proc/self/comm")
	if err != nil || !bytes.Equal(own, name) {
		return StrangerError{PID: pid, Name: string(bytes.TrimSpace(name))}
	}
	return nil
}

// Signal sends a signal to the process. The error is ErrNotRunning if it has
// ended.
func (p *Process) Signal(s syscall.Signal) error {
	err := p.process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return ErrNotRunning
	}
	return err
}

// Running says that the process holds the lock still.
func (p *Process) Running() bool {
	pid, err := holder(p.pidFile)
	return err != nil || pid == p.PID
}

// Wait waits until the process has ended or the context has.
func (p *Process) Wait(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.Running() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Close lets go of what Find has opened.
func (p *Process) Close() {
	_ = p.pidFile.Close() // it was only read
	_ = p.process.Release()
}
