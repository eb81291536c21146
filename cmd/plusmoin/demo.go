package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"plusmoin/internal/demo"
	"plusmoin/internal/pglab"
)

func demoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show all of it at work on throwaway servers",
		Long: `Start a PostgreSQL master and two slaves on this machine, have plusmoin watch
them, and show what it tells while servers die, are promoted and return. It
needs the programs of a PostgreSQL server, takes less than a minute and removes
all it has made.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			o := demo.Options{Program: program, Out: cmd.OutOrStdout(), Keep: keep}
			fitTerminal(&o)
			// Until the end, so that a second Ctrl-C cannot cut the cleaning
			// short; a closed terminal or pipe is a reason to clean up as well.
			ctx, stop := signal.NotifyContext(cmd.Context(), endings()...)
			defer stop()
			return demoError(demo.Run(ctx, o))
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave it running to play with, until Ctrl-C")
	return cmd
}

// endings are the signals that end a demo. Under nohup, SIGHUP is not.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// fitTerminal makes use of what a terminal can do, if there is one.
func fitTerminal(o *demo.Options) {
	file, ok := o.Out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return
	}
	o.Pause = time.Second
	o.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		o.Width = width
	}
}

// demoError returns what is to be said of the end of a demo.
func demoError(err error) error {
	switch {
	case errors.Is(err, pglab.ErrNotInstalled):
		return hinted{errors.New("the programs of a PostgreSQL server are not installed, and the demo runs three"),
			"apt install postgresql (Debian, Ubuntu), dnf install postgresql-server (Fedora), or put their directory in PATH"}
	case errors.Is(err, context.Canceled):
		return exitCode{130, errors.New("interrupted")}
	}
	return err
}
