package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Line int    // from 1; 0 if it is about no line
	Key  string // such as nodes[2].port; "" if it is about no key
	Text string // never says what a password is
}

// String returns the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Key != "" {
		fmt.Fprintf(&b, "%s: ", p.Key)
	}
	b.WriteString(p.Text)
	return b.String()
}

// Warning is something in a configuration that does not keep it from being
// used.
type Warning Problem

// String returns the warning on one line.
func (w Warning) String() string { return Problem(w).String() }

// Errors is everything wrong with a configuration, by line. It is never empty
// when returned as an error.
type Errors []Problem

// Error returns a single problem on one line, several on a line each under a
// line with their number.
func (e Errors) Error() string {
	if len(e) == 1 {
		return e[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems", len(e))
	for _, p := range e {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}
