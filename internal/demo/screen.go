package demo

import (
	"fmt"
	"io"
	"strings"
)

// screen writes for a reader. Lines are broken where they fit the width, if
// they can be.
type screen struct {
	out    io.Writer
	width  int // 0: not a terminal
	colour bool
}

// style is what SGR, the escape sequence for looks, calls a rendition.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// paint returns text in a style.
func (s *screen) paint(text string, as style) string {
	if !s.colour || as == plain || text == "" {
		return text
	}
	return "\x1b[" + string(as) + "m" + text + "\x1b[0m"
}

// line writes a line as it is.
func (s *screen) line(format string, args ...any) {
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *screen) blank() { s.line("") }

// heading writes what opens a step.
func (s *screen) heading(text string) {
	s.blank()
	for _, l := range wrap(text, s.columns(0)) {
		s.line("%s", s.paint(l, bold))
	}
}

// margin is how far all but headings stand in.
const margin = "   "

// prose writes a paragraph.
func (s *screen) prose(text string) {
	for _, l := range wrap(text, s.columns(len(margin))) {
		s.line("%s%s", margin, l)
	}
}

const (
	widest = 80  // of prose: longer lines are hard to read
	paper  = 132 // where there is no terminal; a node entry fits
)

// columns returns how many columns are left for prose, which may be none.
func (s *screen) columns(used int) int { return min(s.room(0), widest) - used }

// room returns how many columns are left for anything else.
func (s *screen) room(used int) int {
	if s.width <= 0 {
		return paper - used
	}
	return s.width - used
}

// wrap breaks a text between words into lines of at most so many columns. A
// word that is longer has a line for itself.
func wrap(text string, columns int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= columns {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
