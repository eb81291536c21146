package main

import (
	"fmt"
	"strings"
)

// page is a manual page in the language of man(7). Whoever writes to it writes
// plain text.
type page struct {
	text strings.Builder
	// fresh says that a heading was written last: it needs no paragraph.
	fresh bool
}

// title begins the page, as of a day.
func (p *page) title(name, section, day, source string) {
	p.macro(`.TH %s %s "%s" "%s"`, name, section, day, roff(source))
}

func (p *page) section(name string) {
	p.macro(".SH %s", roff(name))
	p.fresh = true
}

func (p *page) subsection(name string) {
	p.macro(".SS %s", roff(name))
	p.fresh = true
}

func (p *page) macro(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
	p.fresh = false
}

// synopsis writes a command line whose first word is the program.
func (p *page) synopsis(use string) {
	name, rest, _ := strings.Cut(use, " ")
	p.macro(".B %s\n%s", roff(name), roff(rest))
}

// item writes a word and what it is.
func (p *page) item(word, text string) {
	p.macro(".TP\n.B %s", roff(word))
	p.filled(text)
}

// prose writes paragraphs. One that stands in is a list or an example and keeps
// its lines.
func (p *page) prose(text string) {
	for part := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		if !p.fresh {
			p.macro(".PP")
		}
		if !strings.HasPrefix(part, "  ") {
			p.filled(part)
			continue
		}
		p.macro(".RS 4\n.nf")
		for line := range strings.SplitSeq(part, "\n") {
			p.macro("%s", roff(strings.TrimPrefix(line, "  ")))
		}
		p.macro(".fi\n.RE")
	}
}

// filled writes a paragraph, whose lines are of no account: those in the source
// of a page are to be short.
func (p *page) filled(text string) {
	const longest = 72
	var line string
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > longest {
			p.macro("%s", roff(line))
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	p.macro("%s", roff(line))
}

// roff returns a text as man(7) wants it, with characters that stay what they
// are when they are copied out of the page.
func roff(text string) string {
	text = strings.NewReplacer(
		`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`,
	).Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}
