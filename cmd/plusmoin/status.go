package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"plusmoin/config"
)

// defaultStatusFile is where the status is if no configuration says otherwise.
const defaultStatusFile = "/var/run/plusmoin/status.json"

// statusFlags are those of the command status.
type statusFlags struct {
	table, alive, nagios bool
	file                 string
}

func statusCommand(o *options) *cobra.Command {
	var f statusFlags
	show := &cobra.Command{
		Use:   "status [--table|--alive|--nagios]",
		Short: "print the state of all clusters and nodes",
		Long: `Print the status file as it is, or, with --table, what it says for people to
read; in colour on a terminal unless NO_COLOR is set.

The exit code is as monitoring plug-ins have it:

  0  all is well
  1  a node is lost, suspect, clusterless or not in order, a cluster is not
     well, there are warnings, the last reload was refused, or plusmoin is
     still starting
  2  a cluster has no master or is split in two, there is no cluster at all,
     plusmoin was killed, or the file is not being kept up to date
  3  plusmoin does not run, or nothing can be known

What is behind it is said on standard error, in a table at its top.

With --nagios it is one line on standard output, with performance data, for
Nagios, Icinga and their like; everything that goes wrong exits with 3 then.

With --alive the status is not printed, and only plusmoin itself is judged, for
the health check of a container: 0 while it keeps the file up to date, also when
it is still starting or a cluster has no master; 2 and 3 as above.

Where no configuration can be read, the file is the default one, which is said.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.show(cmd, o)
		},
	}
	flags := show.Flags()
	flags.BoolVarP(&f.table, "table", "t", false, "print a table for people instead of JSON")
	flags.BoolVar(&f.alive, "alive", false, "do not print it, judge only whether plusmoin itself is at work")
	flags.BoolVar(&f.nagios, "nagios", false, "print one line with performance data, as a monitoring plug-in")
	flags.StringVar(&f.file, "status-file", "", "read this `file`, whatever the configuration says")
	return show
}

// check refuses two ways of showing at once.
func (f statusFlags) check() error {
	switch {
	case f.alive && f.table:
		return hinted{errors.New("--alive prints no table"), "give --table or --alive, not both"}
	case f.nagios && (f.alive || f.table):
		return hinted{errors.New("--nagios prints one line"), "give --nagios alone"}
	}
	return nil
}

// show reads the status and shows it as the flags want it.
func (f statusFlags) show(cmd *cobra.Command, o *options) error {
	r, err := f.read(o, cmd.ErrOrStderr())
	if err != nil {
		return exitCode{unknown, err}
	}
	now := time.Now()
	h := judge(r, now)
	out, complaints := cmd.OutOrStdout(), cmd.ErrOrStderr()
	switch {
	case f.alive:
		h = atWork(r, now)
		tell(complaints, h)
	case f.nagios:
		_, err = fmt.Fprintln(out, pluginLine(r, h, now))
	case f.table:
		err = tableView{out: out, now: now, colour: colourful(out)}.show(r, h)
	default:
		data := r.data
		if onTerminal(out) {
			data = escaped(data)
		}
		_, err = out.Write(data)
		tell(complaints, h)
		advise(complaints, h, r.cfg)
	}
	if err != nil {
		return exitCode{unknown, fmt.Errorf("printing the status: %w", err)}
	}
	if h.level == healthy {
		return nil
	}
	return exitCode{code: h.level}
}

// read finds the status file and reads it. A configuration that cannot be used
// is no reason not to show it: that is said on w.
func (f statusFlags) read(o *options, w io.Writer) (reading, error) {
	_, cfg, _, unusable := o.load()
	usable := unusable == nil
	path := f.file
	switch {
	case path != "" && usable && o.config == "" && !sameFile(path, cfg.StatusFile):
		usable = false // it is about another plusmoin
	case path != "" && o.config != "" && !usable:
		fmt.Fprintf(w, "warning: the configuration is not used: %s\n", indented(unusable))
	case path == "" && usable:
		path = cfg.StatusFile
	case path == "":
		path = defaultStatusFile
		fmt.Fprintf(w, "warning: this is about the default status file, %s, since no configuration can be used: %s\n", path, indented(unusable))
	}
	r, err := readStatus(path)
	if usable {
		r.cfg = &cfg
		return r, err
	}
	if f.file == "" && errors.Is(err, fs.ErrNotExist) {
		err = hinted{fmt.Errorf("there is no %s, and no configuration that names another", path), "plusmoin status --status-file FILE reads another one"}
	}
	return r, err
}

// indented returns an error whose further lines stand in.
func indented(err error) string { return strings.ReplaceAll(err.Error(), "\n", "\n  ") }

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return a == b
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
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
func advise(w io.Writer, h health, cfg *config.Config) {
	log := "its log"
	if cfg != nil {
		log = cfg.LogFile
	}
	switch h.fault {
	case stopped:
		fmt.Fprintln(w, "hint: plusmoin start starts it")
	case killed:
		fmt.Fprintf(w, "hint: see %s and the kernel's log, and start it again\n", log)
	case stale:
		fmt.Fprintf(w, "hint: plusmoin hangs or was killed: see %s, and start it again\n", log)
	case otherTime:
		fmt.Fprintln(w, "hint: a clock was set back, or the file is from another host: see date")
	case noFault:
	}
}

// colourful reports whether colours are wanted on w.
func colourful(w io.Writer) bool {
	return onTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func onTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// escaped returns the same JSON without anything that steers a terminal. What
// JSON allows of that is within strings only.
func escaped(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == '\n' || r == '\t' || r == '\r' || unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			out = append(out, data[:size]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[size:]
	}
	return out
}
