package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"plusmoin/daemon"
)

// stopPatience is how long stop waits for the daemon's end. The daemon takes
// some fifteen seconds at most, when triggers and the disk both hang.
const stopPatience = 30 * time.Second

func stopCommand(o *options) *cobra.Command {
	var pidFile string
	stop := &cobra.Command{
		Use:   "stop",
		Short: "end the daemon and wait until it has ended",
		Long: `End the daemon and wait until it has ended.

The daemon is the process that holds the lock on pid_file, whatever that file
says; nothing else is ever signalled. The exit code is 1 if there is none.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := pidFile
			if path == "" {
				_, cfg, _, err := o.load()
				if err != nil {
					return withHint(err, "plusmoin stop --pid-file FILE needs no configuration")
				}
				path = cfg.PidFile
			}
			pid, err := end(cmd.Context(), path)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "plusmoin has stopped, pid %d\n", pid)
			return nil
		},
	}
	stop.Flags().StringVar(&pidFile, "pid-file", "", "end the daemon that holds this `file`, and read no configuration")
	return stop
}

// end ends the daemon and returns which process it was.
func end(ctx context.Context, pidFile string) (int, error) {
	p, err := running(pidFile)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	if err := signalTo(p, syscall.SIGTERM, pidFile); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		return 0, hinted{fmt.Errorf("plusmoin was told to stop but runs still after %s, pid %d", stopPatience, p.PID),
			fmt.Sprintf("see its log; kill -9 %d ends it at once and loses nothing but its triggers", p.PID)}
	}
	return p.PID, nil
}

// running returns the daemon, or an error with a hint.
func running(pidFile string) (*daemon.Process, error) {
	p, err := daemon.Find(pidFile)
	var stranger daemon.StrangerError
	switch {
	case err == nil:
		return p, nil
	case errors.Is(err, daemon.ErrNotRunning):
		return nil, notRunning(pidFile)
	case errors.As(err, &stranger):
		return nil, hinted{err, "nothing was done to it; see whether pid_file names the right file: " + pidFile}
	case errors.Is(err, os.ErrPermission):
		return nil, hinted{fmt.Errorf("pid file: %w", err), "run this as root or as daemon_user"}
	}
	return nil, hinted{fmt.Errorf("pid file: %w", err), "see whether pid_file names the right file"}
}

func notRunning(pidFile string) error {
	return hinted{fmt.Errorf("%w: no process holds %s", daemon.ErrNotRunning, pidFile),
		"plusmoin start starts it; one that was started with -x has no pid file and listens to whoever started it"}
}

// signalTo sends a signal to the daemon.
func signalTo(p *daemon.Process, s syscall.Signal, pidFile string) error {
	err := p.Signal(s)
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return notRunning(pidFile)
	case errors.Is(err, os.ErrPermission):
		return hinted{fmt.Errorf("user %s may not signal plusmoin, pid %d", daemon.Self().Name, p.PID),
			"run this as root or as the user that it runs as"}
	case err != nil:
		return fmt.Errorf("signalling plusmoin, pid %d: %w", p.PID, err)
	}
	return nil
}
