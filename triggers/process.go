package triggers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/internal/awake"
)

// drain is how long, after the end of a command, its output is still read and
// its input still fed if a process that it left behind holds the other end.
const drain = 100 * time.Millisecond

// command is a process to be run.
type command struct {
	argv, env []string
	stdin     []byte
	timeout   time.Duration
	grace     time.Duration
}

// cut says why a command was not left to end by itself.
type cut uint8

const (
	uncut cut = iota
	timedOut
	halted
)

// ending is how a command ended.
type ending struct {
	err    error // it could not be started
	cut    cut
	left   []survivor       // what could not be ended
	state  *os.ProcessState // nil with err, and if the command itself is left
	output string           // the end of what it wrote
}

func (e ending) ok() bool {
	return e.err == nil && e.cut == uncut && e.state.Success()
}

// attrs tells the ending to the log.
func (e ending) attrs() []slog.Attr {
	if e.err != nil {
		return []slog.Attr{slog.Any("error", e.err)}
	}
	if e.state == nil {
		return nil
	}
	how := slog.Int("exit_code", e.state.ExitCode())
	if status, ok := e.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		how = slog.String("signal", unix.SignalName(status.Signal()))
	}
	return []slog.Attr{how, slog.String("output", e.output)}
}

// errLate is why a command is not started any more.
var errLate = errors.New("it is too late")

// errLost is why it is not known how a command ended.
var errLost = errors.New("something else took its exit status")

// child is a command that runs.
type child struct {
	family
	cmd    *exec.Cmd
	output *tail
	ended  <-chan struct{} // closed when its process has ended, which stays a zombie
	let    func()          // lets it be reaped; to be called once
	reaped <-chan struct{} // closed when it was reaped, and its output read
}

// run runs the command until its process ends, whatever that leaves behind in
// the background. At the timeout, for which only time counts in which this
// process ran, or when stop is closed, it ends the whole family. It returns
// after the process was reaped, or when there is no hope of that.
func (c command) run(r *reaper, stop <-chan struct{}) ending {
	within, cancel := awake.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	p, why, err := c.start(r, within.Done(), stop)
	if err != nil {
		return ending{err: err, cut: why}
	}
	select {
	case <-p.ended:
	case <-within.Done():
		why = timedOut
	case <-stop:
		why = halted
	}
	select {
	case <-p.ended: // it made it, if only just
		why = uncut
	default:
	}
	end := ending{cut: why}
	if why != uncut {
		end.left = p.end(c.grace)
	}
	p.let()
	if slices.ContainsFunc(end.left, func(s survivor) bool { return s.pid == p.leader.pid }) {
		return end // what waits for it goes on waiting, alone
	}
	<-p.reaped
	if p.cmd.ProcessState == nil {
		return ending{err: errLost, cut: why}
	}
	end.state, end.output = p.cmd.ProcessState, p.output.String()
	return end
}

// start starts the command, unless that takes until late or stop is closed: a
// program in a file system that hangs must hold up nobody, and not run when it
// can be read hours later.
func (c command) start(r *reaper, late, stop <-chan struct{}) (child, cut, error) {
	started, gone := make(chan error), make(chan struct{})
	var p child
	go func() {
		var err error
		p, err = c.launch(r, gone)
		select {
		case started <- err:
		case <-gone:
			if err == nil {
				p.end(c.grace)
				p.let()
			}
		}
	}()
	var why cut
	select {
	case err := <-started:
		return p, uncut, err
	case <-late:
		why = timedOut
	case <-stop:
		why = halted
	}
	close(gone)
	return child{}, why, fmt.Errorf("%s does not start, its file cannot be read", c.argv[0])
}

// launch starts the command and what waits for its end, unless gone is closed.
func (c command) launch(r *reaper, gone <-chan struct{}) (child, error) {
	output := new(tail)
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = c.env
	cmd.Stdin = bytes.NewReader(c.stdin)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = drain
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	await(cmd.Path)
	select {
	case <-gone:
		return child{}, errLate
	default:
	}
	m, err := r.start(cmd)
	if err != nil {
		return child{}, err
	}
	pid := cmd.Process.Pid
	leader, _ := look(pid) // it is there, at least as a zombie
	leader.pid = pid
	ended, free, reaped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(reaped)
		awaitEnd(pid)
		close(ended)
		<-free
		// Its state tells all, and it cannot be waited for in vain.
		_ = cmd.Wait()
		r.waited(pid)
	}()
	return child{family{leader, m, map[identity]bool{}}, cmd, output, ended, func() { close(free) }, reaped}, nil
}

// await returns when a file can be read, or is known not to be. Only one
// command is started at a time, and none of the others is to wait for a disk.
func await(path string) {
	// What is wrong with the file is told by starting it, and it need not be
	// readable to be executed.
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	_, _ = file.Read(make([]byte, 1))
}

// awaitEnd returns when a child has ended. It is left unreaped.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
