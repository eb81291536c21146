package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"
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
says, and runs as the user it should; nothing else is ever signalled. If
pid_file was removed, it is the daemon that holds the lock of status_file. The
exit code is 1 if there is none.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where := target{pidFile: pidFile}
			if pidFile == "" {
				_, cfg, _, err := o.load()
				if err != nil {
					return withHint(err, "plusmoin stop --pid-file FILE needs no configuration")
				}
				where = targetOf(cfg)
			}
			pid, err := end(cmd.Context(), where)
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
func end(ctx context.Context, where target) (int, error) {
	p, err := running(where)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	if err := signalTo(p, syscall.SIGTERM, where.pidFile); err != nil {
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
