package main

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"plusmoin/postgres"
)

// printer writes a check for people: 80 columns, except where a line is there
// to be pasted.
type printer struct {
	out    *bytes.Buffer
	colour bool
}

const columns = 80

func (p printer) line(format string, values ...any) {
	fmt.Fprintf(p.out, format+"\n", values...)
}

func (p printer) configuration(path string, findings []postgres.Finding) {
	p.line("configuration %s", path)
	for _, f := range findings {
		p.finding(f)
	}
	p.line("")
}

func (p printer) node(r report) {
	p.line("%s", heading(r))
	for _, f := range r.findings {
		p.finding(f)
	}
	p.line("")
}

func heading(r report) string {
	if r.Version == "" {
		return r.Node.String()
	}
	role := "master"
	if r.Slave {
		role = "slave"
	}
	version, _, _ := strings.Cut(printable(r.Version), " ")
	return fmt.Sprintf("%s: %s, PostgreSQL %s, answers in %.1f ms", r.Node, role, version, float64(r.Latency.Microseconds())/1e3)
}

// finding writes a mark, a text and what to paste.
func (p printer) finding(f postgres.Finding) {
	for i, line := range wrapped(printable(f.Text), columns-10) {
		if i == 0 {
			p.line("  %s %s", p.mark(f.Weight), line)
		} else {
			p.line("          %s", line)
		}
	}
	for i, r := range f.Remedies {
		or := ""
		if i > 0 {
			or = "or "
		}
		for _, line := range wrapped(or+printable(r.Where)+":", columns-10) {
			p.line("          %s", line)
		}
		for _, line := range r.Lines {
			p.line("            %s", printable(line))
		}
	}
}

func (p printer) mark(w postgres.Weight) string {
	word, colour := "ok     ", "32"
	switch w {
	case postgres.Note:
		word, colour = "note   ", "33"
	case postgres.Problem:
		word, colour = "PROBLEM", "31"
	}
	if !p.colour {
		return word
	}
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}

func (p printer) delays(delays []delay) {
	p.line("worst-case detection time")
	for _, d := range delays {
		for i, line := range wrapped(d.how, columns-30) {
			if i == 0 {
				p.line("  %-15s %10s  %s", d.what, short(d.most), line)
			} else {
				p.line("%30s%s", "", line)
			}
		}
	}
	p.line("")
}

// summary writes the last line. Its error, which says nothing more, tells
// whether something keeps plusmoin from its work.
func (p printer) summary(general []postgres.Finding, reports []report) error {
	problems, notes := tally(general)
	everywhere, bad := problems > 0, 0
	for _, r := range reports {
		more, remarks := tally(r.findings)
		problems, notes = problems+more, notes+remarks
		if more > 0 {
			bad++
		}
	}
	counts := fmt.Sprintf("%s, %s, %s", number(len(reports), "node"), number(problems, "problem"), number(notes, "note"))
	switch {
	case everywhere:
		p.line("%s: plusmoin cannot do its work", counts)
		return exitCode{code: 1}
	case problems > 0:
		p.line("%s: plusmoin cannot do its work on %s", counts, number(bad, "node"))
		return exitCode{code: 1}
	case len(reports) == 0:
		p.line("%s: there is nothing to watch", counts)
	default:
		p.line("%s: plusmoin can do its work", counts)
	}
	return nil
}

func tally(findings []postgres.Finding) (problems, notes int) {
	for _, f := range findings {
		switch f.Weight {
		case postgres.Problem:
			problems++
		case postgres.Note:
			notes++
		}
	}
	return problems, notes
}

func number(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// wrapped breaks a text at spaces into lines of at most width runes, unless a
// word is longer.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
