package triggers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
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
	state  *os.ProcessState // nil with err
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
	how := slog.Int("exit_code", e.state.ExitCode())
	if status, ok := e.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		how = slog.String("signal", unix.SignalName(status.Signal()))
	}
	return []slog.Attr{how, slog.String("output", e.output)}
}

// run runs the command until its process ends, whatever that leaves behind in
// the background. At the timeout, for which only time counts in which this
// process ran, or when stop is closed, it ends the whole process group. It returns after the process was reaped.
func (c command) run(stop <-chan struct{}) ending {
	output := new(tail)
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = c.env
	cmd.Stdin = bytes.NewReader(c.stdin)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = drain
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return ending{err: err}
	}
	g := group{id: cmd.Process.Pid, ended: leaderEnded(cmd.Process.Pid)}
	why := c.await(g.ended, stop)
	if why != uncut {
		g.end(c.grace)
	}
	// Only from here on may the process id be used again.
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		return ending{err: err}
	}
	return ending{cut: why, state: cmd.ProcessState, output: output.String()}
}

func (c command) await(ended, stop <-chan struct{}) cut {
	within, cancel := awake.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	why := uncut
	select {
	case <-ended:
	case <-within.Done():
		why = timedOut
	case <-stop:
		why = halted
	}
	select {
	case <-ended: // it made it, if only just
		return uncut
	default:
		return why
	}
}

// leaderEnded returns a channel that is closed when the process has ended. The
// process is left unreaped.
func leaderEnded(pid int) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ended
}
