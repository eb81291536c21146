package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// longest is how many characters of text a monitoring plug-in prints: some of
// those who read it cut a line at 1 KiB.
const longest = 600

// pluginLine returns health as the one line of a monitoring plug-in: a word, a
// text and, after a bar, performance data.
func pluginLine(r reading, h health, now time.Time) string {
	text := "all is well"
	if h.level != healthy {
		text = findingsLine(h.findings)
	}
	return plugin(h.level, text) + " | " + performance(r, h, now)
}

// findingsLine returns as many findings as there is room for.
func findingsLine(findings []string) string {
	text := shorten(findings[0], longest)
	for i, f := range findings[1:] {
		if len(text)+len(f) > longest {
			return fmt.Sprintf("%s; and %d more", text, len(findings)-1-i)
		}
		text += "; " + f
	}
	return text
}

// plugin returns what a plug-in prints before its performance data. Bars would
// begin those.
func plugin(level int, text string) string {
	words := [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}
	return words[level] + " - " + strings.ReplaceAll(printable(text), "|", "/")
}

// performance returns the figures of a plug-in. Those of a file that nobody
// keeps are left out: a graph must not go on with them.
func performance(r reading, h health, now time.Time) string {
	age := fmt.Sprintf("age=%.1fs;;;0", max(0, now.Sub(r.UpdatedAt).Seconds()))
	if h.fault != noFault {
		return age
	}
	var masters, slaves, lost int
	var lag float64
	for _, c := range r.Clusters {
		slaves, lost = slaves+len(c.Slaves), lost+len(c.Lost)
		if c.HasMaster {
			masters++
		}
		for _, e := range slices.Concat(c.Slaves, c.Lost) {
			if d := r.Document.Nodes[address(e)]; d.Lag != nil {
				lag = max(lag, *d.Lag)
			}
		}
	}
	return fmt.Sprintf("clusters=%d;;;0 masters=%d;;;0 slaves=%d;;;0 lost=%d;;;0 clusterless=%d;;;0 max_lag=%.3fs;;;0 round=%.1fms;;;0 %s",
		len(r.Clusters), masters, slaves, lost, len(r.Clusterless), lag, r.Round.DurationMS, age)
}

// asPlugin reports whether a command line wants the manners of a plug-in, also
// one that is wrong otherwise.
func asPlugin(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == "--nagios" || strings.HasPrefix(a, "--nagios=") })
}

// failPlugin prints what a plug-in has to say of an error that kept it from its
// work, and returns the exit code.
func failPlugin(w io.Writer, err error) int {
	var code exitCode
	if errors.As(err, &code) && code.err == nil {
		return code.code // it has said all
	}
	text := err.Error()
	var h hinted
	if errors.As(err, &h) {
		text += " (" + h.hint + ")"
	}
	fmt.Fprintln(w, plugin(unknown, shorten(text, longest)))
	return unknown
}
