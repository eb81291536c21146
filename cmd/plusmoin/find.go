package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/status"
)

// target is where a daemon is looked for.
type target struct {
	pidFile string
	// statusFile and user are what the configuration says, "" without one.
	statusFile, user string
	// foreground lets it be one that runs in the foreground, too.
	foreground bool
}

func targetOf(cfg config.Config) target {
	return target{pidFile: cfg.PidFile, statusFile: cfg.StatusFile, user: cfg.DaemonUser}
}

// running returns the daemon, or an error with a hint. It is the process that
// holds the pid file or, if none of ours does because that was removed or is
// another's now, the one that writes the status file.
func running(t target) (*daemon.Process, error) {
	p, err := daemon.Find(t.pidFile)
	if err != nil && t.statusFile != "" && (t.foreground || status.Daemon(t.statusFile)) {
		if other, otherErr := daemon.Find(status.LockPath(t.statusFile)); otherErr == nil {
			p, err = other, nil
		}
	}
	var stranger daemon.StrangerError
	switch {
	case err == nil:
		return expected(p, t)
	case errors.Is(err, daemon.ErrNotRunning):
		return nil, notRunning(t.pidFile)
	case errors.As(err, &stranger):
		return nil, hinted{err, "nothing was done to it; see whether pid_file names the right file: " + t.pidFile}
	case errors.Is(err, os.ErrPermission):
		return nil, hinted{fmt.Errorf("pid file: %w", err), "run this as root or as daemon_user"}
	}
	return nil, hinted{fmt.Errorf("pid file: %w", err), "see whether pid_file names the right file"}
}

// expected returns p if it runs as the user it should, else closes it.
func expected(p *daemon.Process, t target) (*daemon.Process, error) {
	err := expect(p, t)
	if err == nil {
		return p, nil
	}
	p.Close()
	var other daemon.OwnerError
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return nil, notRunning(t.pidFile)
	case !errors.As(err, &other):
		return nil, err
	case os.Geteuid() != 0:
		return nil, forbidden(p)
	}
	return nil, hinted{fmt.Errorf("process %d holds the pid file, but runs as user %s, not as %s", p.PID, other.User, other.Wanted),
		"nothing was done to it; if it is the daemon all the same, end it as that user: plusmoin stop --pid-file " + t.pidFile}
}

// expect returns an OwnerError if p is another user's. For root that is anybody
// but daemon_user; but a daemon that was started by another user, or before
// daemon_user was changed, is known by holding its own pid and status file.
func expect(p *daemon.Process, t target) error {
	if os.Geteuid() != 0 {
		return p.Expect(daemon.Self())
	}
	if t.user == "" {
		return p.ExpectOwner()
	}
	user, err := daemon.Resolve(t.user)
	if err == nil {
		if err = p.Expect(user); err == nil {
			return nil
		}
	}
	if pid, held, _ := status.Held(t.statusFile); held && pid == p.PID && p.ExpectOwner() == nil {
		return nil
	}
	return err
}

func notRunning(pidFile string) error {
	return hinted{fmt.Errorf("%w: no process holds %s", daemon.ErrNotRunning, pidFile),
		"plusmoin start starts it; one that was started with -x has no pid file and listens to whoever started it"}
}

func forbidden(p *daemon.Process) error {
	return hinted{fmt.Errorf("user %s may not signal plusmoin, pid %d", daemon.Self().Name, p.PID),
		"run this as root or as the user that it runs as"}
}

// signalTo sends a signal to the daemon.
func signalTo(p *daemon.Process, s syscall.Signal, pidFile string) error {
	err := p.Signal(s)
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return notRunning(pidFile)
	case errors.Is(err, os.ErrPermission):
		return forbidden(p)
	case err != nil:
		return fmt.Errorf("signalling plusmoin, pid %d: %w", p.PID, err)
	}
	return nil
}
