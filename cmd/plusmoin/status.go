package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"plusmoin/config"
	"plusmoin/status"
)

func statusCommand(o *options) *cobra.Command {
	var table, alive bool
	show := &cobra.Command{
		Use:   "status [--table|--alive]",
		Short: "print the state of all clusters and nodes",
		Long: `Print the status file as it is, or, with --table, what it says for people to
read; in colour on a terminal unless NO_COLOR is set.

The exit code is as monitoring plug-ins have it:

  0  all is well
  1  a node is lost, suspect or clusterless, a cluster is not well, there are
     warnings, the last reload was refused, or plusmoin is still starting
  2  a cluster has no master, or the file is not being kept up to date
  3  plusmoin does not run, or nothing can be known

What is behind it is said on standard error, in a table at its top.

With --alive the status is not printed, and only plusmoin itself is judged, for
the health check of a container: 0 while it keeps the file up to date, also when
it is still starting or a cluster has no master; 2 and 3 as above.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if table && alive {
				return hinted{errors.New("--alive prints no table"), "give --table or --alive, not both"}
			}
			_, cfg, _, err := o.load()
			if err != nil {
				return exitCode{unknown, err}
			}
			data, d, err := readStatus(cfg.StatusFile)
			if err != nil {
				return exitCode{unknown, err}
			}
			now := time.Now()
			h := judge(d, now, cfg.Heartbeat.Next)
			switch {
			case alive:
				h = atWork(d, now, cfg.Heartbeat.Next)
				tell(cmd.ErrOrStderr(), h)
			case table:
				view := tableView{out: cmd.OutOrStdout(), now: now}
				view.colour = colourful(view.out)
				err = view.show(d, h)
			default:
				_, err = cmd.OutOrStdout().Write(data)
				tell(cmd.ErrOrStderr(), h)
				advise(cmd.ErrOrStderr(), h, cfg)
			}
			if err != nil {
				return exitCode{unknown, fmt.Errorf("printing the status: %w", err)}
			}
			if h.level == healthy {
				return nil
			}
			return exitCode{code: h.level}
		},
	}
	show.Flags().BoolVarP(&table, "table", "t", false, "print a table for people instead of JSON")
	show.Flags().BoolVar(&alive, "alive", false, "do not print it, judge only whether plusmoin itself is at work")
	return show
}

// readStatus returns the status file, as it is and as a document. The time of
// one that tells none, as the Python plusmoin's, is that of the file.
func readStatus(path string) ([]byte, status.Document, error) {
	data, info, err := status.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, status.Document{}, hinted{fmt.Errorf("plusmoin is not running: there is no %s", path), "plusmoin start starts it"}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, status.Document{}, hinted{fmt.Errorf("status file: %w", err), "its folder must let you in"}
	}
	if err != nil {
		return nil, status.Document{}, fmt.Errorf("status file: %w", err)
	}
	d, err := status.Parse(data)
	if err != nil {
		return nil, d, hinted{fmt.Errorf("%s: %w", path, err), "see whether status_file names the right file; plusmoin replaces it when it starts"}
	}
	if d.UpdatedAt.IsZero() {
		d.UpdatedAt = info.ModTime()
	}
	return data, d, nil
}

// tell says on one line what is not well.
func tell(w io.Writer, h health) {
	if h.level == healthy {
		return
	}
	word := "error"
	if h.level == degraded {
		word = "warning"
	}
	fmt.Fprintf(w, "%s: %s\n", word, printable(strings.Join(h.findings, "; ")))
}

// advise says what to do if the monitor itself is the trouble.
func advise(w io.Writer, h health, cfg config.Config) {
	switch {
	case h.level == unknown:
		fmt.Fprintln(w, "hint: plusmoin start starts it")
	case h.stale:
		fmt.Fprintf(w, "hint: plusmoin hangs or was killed: see %s, and start it again\n", cfg.LogFile)
	}
}

// colourful says that colours are wanted on w.
func colourful(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}
