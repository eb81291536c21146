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
	return &cobra.Command{
		Use:   "reload",
		Short: "put the changed configuration in force",
		Long: `Put the changed configuration in force and open log_file anew.

The file is checked first: with an error in it nothing is sent to the daemon.
reload returns when the daemon has told by status_file what came of it, and
names the keys that need a restart.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
}

// reload tells the daemon to reload and returns what it made of that.
func reload(ctx context.Context, cfg config.Config) (status.Config, error) {
	p, err := running(cfg.PidFile)
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
