package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"plusmoin/internal/lockfile"
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

// OwnerError says that the daemon runs as another user than it should.
type OwnerError struct {
	PID          int
	User, Wanted string
}

func (e OwnerError) Error() string {
	return fmt.Sprintf("process %d runs as user %s, not as %s", e.PID, e.User, e.Wanted)
}

// Process is the running daemon.
type Process struct {
	PID int

	file    *os.File    // that it holds
	process *os.Process // not to be confused with one that gets its id later
}

// Find returns the process that holds the lock on the pid file at path, or on
// another file of lockfile's. What the file says is not looked at. The error is
// ErrNotRunning if there is none, a StrangerError if it is another program, and
// else says why it cannot be known. The result must be closed.
func Find(path string) (*Process, error) {
	file, err := lockfile.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	p, err := find(file)
	if err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	return p, nil
}

func find(file *os.File) (*Process, error) {
	pid, err := lockfile.HolderOf(file)
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
	if err := sameProgram(pid); err != nil && !hidden(err, file) {
		return nil, err
	}
	// It holds the lock still, so process is not one that got its id since.
	if again, err := lockfile.HolderOf(file); err != nil || again != pid {
		return nil, errors.Join(ErrNotRunning, err)
	}
	return &Process{PID: pid, file: file, process: process}, nil
}

// sameProgram returns a StrangerError unless pid runs a program of our name.
// The name is what everybody may see of a process, and what stays when the
// program's file is replaced by a newer one.
func sameProgram(pid int) error {
	name, err := programName(strconv.Itoa(pid))
	if err != nil {
		return StrangerError{PID: pid}
	}
	own, err := programName("self")
	if err != nil || own != name {
		return StrangerError{PID: pid, Name: name}
	}
	return nil
}

func programName(process string) (string, error) {
	name, err := os.ReadFile(commOf(process))
	return string(bytes.TrimSpace(name)), err
}

// commOf returns the file that has the name of a process, its id or "self".
func commOf(process string) string { return filepath.Join("/proc", process, "comm") }

// hidden says that the process that holds the file is only not to be seen, as
// where /proc shows users no more than what they may debug: see Conceal. Nobody
// but us and root can keep such a lock on a file of ours, and we can signal no
// process of another user.
func hidden(err error, file *os.File) bool {
	var stranger StrangerError
	info, statErr := file.Stat()
	return errors.As(err, &stranger) && stranger.Name == "" && statErr == nil &&
		os.Geteuid() != 0 && owner(info) == os.Geteuid()
}

// Expect returns an OwnerError unless the process runs as the daemon of u does.
func (p *Process) Expect(u User) error {
	wanted := strconv.Itoa(os.Geteuid())
	if u.change != nil {
		wanted = strconv.FormatUint(uint64(u.change.Uid), 10)
	}
	id, err := p.user()
	if err != nil {
		return err
	}
	if id != wanted {
		return OwnerError{PID: p.PID, User: named(id), Wanted: u.Name}
	}
	return nil
}

// ExpectOwner returns an OwnerError unless the process runs as the user to whom
// the file belongs that it holds.
func (p *Process) ExpectOwner() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	id, err := p.user()
	if err != nil {
		return err
	}
	if wanted := strconv.Itoa(owner(info)); id != wanted {
		return OwnerError{PID: p.PID, User: named(id), Wanted: named(wanted)}
	}
	return nil
}

// user returns the effective user id of the process, from what everybody may
// see: more of it is root's, see Conceal. Whose it was before it ended it is not.
func (p *Process) user() (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "status"))
	if err != nil && hidden(StrangerError{PID: p.PID}, p.file) {
		return strconv.Itoa(os.Geteuid()), nil
	}
	if err != nil {
		return "", fmt.Errorf("whose process %d is: %w", p.PID, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "Uid:" {
			if !p.Running() {
				return "", ErrNotRunning // and what was read may be another's
			}
			return fields[2], nil
		}
	}
	return "", fmt.Errorf("whose process %d is cannot be read", p.PID)
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
	pid, err := lockfile.HolderOf(p.file)
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
	_ = p.file.Close() // it was only read
	_ = p.process.Release()
}
