package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/status"
)

// reloadPatience is how long reload waits for the outcome. The daemon reloads
// between two rounds, which take some seconds at most.
const reloadPatience = 30 * time.Second

func reloadCommand(o *options) *cobra.Command {
	var logOnly bool
	var pidFile string
	command := &cobra.Command{
		Use:   "reload",
		Short: "put the changed configuration in force",
		Long: `Put the changed configuration in force and open log_file anew.

The file is checked first: with an error in it nothing is sent to the daemon.
reload returns when the daemon has told by status_file what came of it, and
names the keys that need a restart. It works for a plusmoin in the foreground
too.

With --log-only the daemon opens log_file anew and does nothing else, whatever
is in the configuration: for logrotate. Where no daemon runs there is nothing to
do, and the exit code is 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if logOnly {
				return o.reopen(cmd, pidFile)
			}
			if pidFile != "" {
				return hinted{errors.New("--pid-file goes with --log-only"), "a reload needs the configuration"}
			}
			path, cfg, warnings, err := o.load()
			if err != nil {
				return withHint(err, "nothing was sent to the daemon, which goes on as it was")
			}
			warn(cmd.ErrOrStderr(), warnings)
			applied, err := reload(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is in force\n", path)
			if len(applied.Restart) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: only a restart applies %s\n", strings.Join(applied.Restart, ", "))
			}
			return nil
		},
	}
	command.Flags().BoolVar(&logOnly, "log-only", false, "open log_file anew, and read no other configuration")
	command.Flags().StringVar(&pidFile, "pid-file", "", "with --log-only: tell the daemon that holds this `file`, and read no configuration")
	return command
}

// reopen has the daemon open its log file anew. It is found also where the
// configuration is broken meanwhile.
func (o *options) reopen(cmd *cobra.Command, pidFile string) error {
	where := target{pidFile: pidFile}
	var broken error
	if pidFile == "" {
		path, cfg, _, err := o.load()
		if err != nil {
			broken = err
			if cfg, err = config.Places(path); err != nil {
				return withHint(broken, "plusmoin reload --log-only --pid-file FILE needs no configuration")
			}
			beside(path, &cfg)
		}
		where = targetOf(cfg)
	}
	p, err := running(where)
	switch {
	case errors.Is(err, daemon.ErrNotRunning) && broken != nil:
		return withHint(fmt.Errorf("%w: where is plusmoin? %w", daemon.ErrNotRunning, broken), "plusmoin reload --log-only --pid-file FILE needs no configuration")
	case errors.Is(err, daemon.ErrNotRunning):
		fmt.Fprintln(cmd.OutOrStdout(), "plusmoin does not run, so no log is open")
		return nil
	case err != nil:
		return err
	}
	defer p.Close()
	if err := signalTo(p, syscall.SIGUSR1, where.pidFile); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "plusmoin opens its log anew, pid %d\n", p.PID)
	return nil
}

// reload tells the daemon to reload and returns what it made of that.
func reload(ctx context.Context, cfg config.Config) (status.Config, error) {
	where := targetOf(cfg)
	where.foreground = true
	p, err := running(where)
	if errors.Is(err, daemon.ErrNotRunning) {
		return status.Config{}, hinted{err, "plusmoin start starts it; if pid_file was changed, that takes effect by a restart: put it back and stop plusmoin first"}
	}
	if err != nil {
		return status.Config{}, err
	}
	defer p.Close()
	before, unread := status.Read(cfg.StatusFile)
	if err := signalTo(p, syscall.SIGHUP, cfg.PidFile); err != nil {
		return status.Config{}, err
	}
	if unread != nil || before.State == status.Stopped {
		return status.Config{}, unseen(p, cfg)
	}
	ctx, cancel := context.WithTimeout(ctx, reloadPatience)
	defer cancel()
	return outcome(ctx, p, cfg, before.Config)
}

// outcome waits until the status file tells of a reload after the one that was
// the last before.
func outcome(ctx context.Context, p *daemon.Process, cfg config.Config, before status.Config) (status.Config, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := status.Read(cfg.StatusFile)
		told := err == nil && !d.Config.TriedAt.Equal(before.TriedAt)
		switch {
		case told && d.Config.Error != nil:
			return d.Config, hinted{errors.New("configuration refused: " + *d.Config.Error),
				"the daemon goes on with what it had; it reads the file as its own user"}
		case told:
			return d.Config, nil
		case !p.Running():
			return d.Config, hinted{fmt.Errorf("plusmoin has ended meanwhile, pid %d", p.PID), "see " + cfg.LogFile}
		}
		select {
		case <-ctx.Done():
			return d.Config, unseen(p, cfg)
		case <-tick.C:
		}
	}
}

func unseen(p *daemon.Process, cfg config.Config) error {
	return hinted{fmt.Errorf("plusmoin was told to reload, pid %d, but %s does not tell what came of it", p.PID, cfg.StatusFile),
		"see its log; a changed status_file takes effect by a restart"}
}
