package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"plusmoin/cluster"
	"plusmoin/status"
)

// tableView shows a status document to people.
type tableView struct {
	out    io.Writer
	now    time.Time
	colour bool
}

// shade is what a terminal is told in order to colour what follows.
type shade string

const (
	plain  shade = ""
	green  shade = "\x1b[32m"
	yellow shade = "\x1b[33m"
	red    shade = "\x1b[31m"
	bold   shade = "\x1b[1m"
)

type cell struct {
	text  string
	shade shade
}

// row is a heading if it has one cell only.
type row []cell

func (v tableView) show(r reading, h health) error {
	rows := []row{v.summary(h), v.header(r.Document)}
	if len(r.Config.Restart) > 0 {
		rows = append(rows, row{{"only a restart applies " + strings.Join(r.Config.Restart, ", "), yellow}})
	}
	rows = append(rows, row{{}}, row{{"NODE", bold}, {"STATE", bold}, {"LAG", bold}, {"SINCE", bold}, {"FOR", bold}, {"REASON", bold}})
	for _, c := range r.Clusters {
		rows = append(rows, v.cluster(r, c)...)
	}
	if len(r.Clusterless) > 0 {
		rows = append(rows, row{{"no cluster", yellow}})
	}
	for _, e := range r.Clusterless {
		rows = append(rows, v.node(r, cluster.Cluster{}, e, cluster.Clusterless))
	}
	for _, w := range r.Warnings {
		rows = append(rows, row{{fmt.Sprintf("warning: %s: %s", w.Kind, w.Text), yellow}})
	}
	return v.write(rows)
}

// cluster returns the rows of a cluster: what is to be said of it, its nodes and
// what its diagnosis rests on.
func (v tableView) cluster(r reading, c cluster.Cluster) []row {
	rows := []row{{verdictCell(r, c)}}
	if c.Master != nil {
		rows = append(rows, v.node(r, c, *c.Master, cluster.Master))
	}
	for _, e := range c.Slaves {
		rows = append(rows, v.node(r, c, e, cluster.Slave))
	}
	for _, e := range c.Lost {
		rows = append(rows, v.node(r, c, e, cluster.Lost))
	}
	if text := r.behind(c); text != "" {
		rows = append(rows, row{{"  " + text, plain}})
	}
	return rows
}

// summary is the line that a monitoring plug-in has to begin with.
func (v tableView) summary(h health) row {
	words := [...]cell{{"OK", green}, {"WARNING", yellow}, {"CRITICAL", red}, {"UNKNOWN", red}}
	line := words[h.level]
	line.text += ": " + cmp.Or(strings.Join(h.findings, "; "), "all is well")
	return row{line}
}

func (v tableView) header(d status.Document) row {
	version := cmp.Or(d.Version, "of another version")
	return row{{text: fmt.Sprintf("plusmoin %s, %s, round %d in %.1f ms, heartbeat %g s, written %s ago",
		version, cmp.Or(string(d.State), "state not told"), d.Round.Number, d.Round.DurationMS, d.Heartbeat, age(v.now.Sub(d.UpdatedAt)))}}
}

// verdictCell names a cluster and explains its diagnosis.
func verdictCell(r reading, c cluster.Cluster) cell {
	level, _ := r.verdict(c)
	text, why := title(c)+": "+string(c.Diagnosis), meaning(c.Diagnosis)
	if c.Diagnosis == cluster.SplitOff {
		text += r.splitOff(c, " from cluster %d")
	} else if split := r.splitOff(c, ", split off from cluster %d"); split != "" {
		text, why = text+split, staleCopy
	}
	if why != "" && c.Diagnosis != cluster.OK {
		text += " (" + why + ")"
	}
	return cell{text, [...]shade{green, yellow, red}[level]}
}

// node returns the row of one node; details are lacking in a file of another
// version.
func (v tableView) node(r reading, c cluster.Cluster, e cluster.Entry, place cluster.Place) row {
	detail, known := r.Document.Nodes[address(e)]
	state := cell{string(place), green}
	switch {
	case place == cluster.Lost:
		state.shade = red
	case place == cluster.Clusterless:
		state.shade = yellow
	case detail.Suspect:
		state = cell{string(place) + ", suspect", yellow}
	}
	lag, since, lasts := "-", "-", "-"
	if detail.Lag != nil {
		lag = fmt.Sprintf("%.1fs", *detail.Lag)
	}
	if known && !detail.Since.IsZero() {
		since = detail.Since.Local().Format(time.DateTime)
		lasts = age(v.now.Sub(detail.Since))
	}
	return row{{"  " + address(e), plain}, state, {lag, plain}, {since, plain}, {lasts, plain}, {why(r, c, e), plain}}
}

// write writes the rows with all columns as wide as their widest cell.
func (v tableView) write(rows []row) error {
	var widths []int
	for _, r := range rows {
		for i := range r {
			r[i].text = printable(r[i].text)
			if len(r) == 1 {
				continue
			}
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			gap := 0
			if i < len(r)-1 {
				gap = widths[i] - utf8.RuneCountInString(c.text) + 2
			}
			line.WriteString(v.paint(c) + strings.Repeat(" ", gap))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(v.out, b.String())
	return err
}

func (v tableView) paint(c cell) string {
	if !v.colour || c.shade == plain || c.text == "" {
		return c.text
	}
	return string(c.shade) + c.text + "\x1b[0m"
}

// printable keeps what a server said from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}
