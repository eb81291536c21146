package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// maxOpen is the number of opening brackets above which a file is refused
// before it is parsed: the parser recurses, and nesting cannot be deeper than
// this. It leaves room for tens of thousands of nodes.
const maxOpen = 50_000

// parseSyntax returns the syntax tree of data. The parser's own messages are
// not passed on, since they quote what they stumble over, and that can be a
// password.
func parseSyntax(data []byte) (hujson.Value, *Problem) {
	if p := precheck(data); p != nil {
		return hujson.Value{}, p
	}
	// The parser wants a newline at the end of a comment, even of the last.
	tree, err := hujson.Parse(append(bytes.Clone(data), '\n'))
	if err != nil {
		return hujson.Value{}, syntaxProblem(data, err)
	}
	return tree, nil
}

// precheck refuses what the parser would not take well or explain badly.
func precheck(data []byte) *Problem {
	bad := func(offset int, text string) *Problem {
		return &Problem{Line: 1 + bytes.Count(data[:offset], []byte("\n")), Text: text}
	}
	for _, mark := range []string{"\xef\xbb\xbf", "\xfe\xff", "\xff\xfe"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return bad(0, "starts with a byte order mark: save the file as UTF-8 without one")
		}
	}
	if !utf8.Valid(data) {
		valid := bytes.ToValidUTF8(data, nil)
		return bad(commonPrefix(data, valid), "is not UTF-8")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return bad(0, "is empty: expected an object, { ... }")
	}
	if bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > maxOpen {
		return bad(0, fmt.Sprintf("has more than %d opening brackets", maxOpen))
	}
	return nil
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// syntaxProblem says in our words what err, which the parser gave for data,
// says in its own.
func syntaxProblem(data []byte, err error) *Problem {
	p := &Problem{Text: "is not valid JSON"}
	var column int
	if _, scan := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &p.Line, &column); scan != nil {
		return p
	}
	// An end that comes too early is told of the last line with something on it.
	lines := bytes.Split(bytes.TrimRight(data, " \t\r\n"), []byte("\n"))
	p.Line = min(p.Line, len(lines))
	text := errors.Unwrap(err).Error()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		p.Text = truncated(text)
	case strings.HasPrefix(text, "invalid literal: \""):
		p.Text = fmt.Sprintf("column %d: string is not valid JSON: a missing quote, a line break or a bad \\ escape?", column)
	case strings.HasPrefix(text, "invalid literal"):
		p.Text = fmt.Sprintf("column %d: neither a string in double quotes, a number, true, false nor null", column)
	default:
		p.Text = fmt.Sprintf("column %d: %s", column, unexpected(text, lines[p.Line-1], column))
	}
	return p
}

// truncated says where the file ends too early.
func truncated(text string) string {
	switch {
	case strings.Contains(text, "object"):
		return "file ends inside an object: is a } missing?"
	case strings.Contains(text, "array"):
		return "file ends inside an array: is a ] missing?"
	case strings.Contains(text, "string"):
		return "file ends inside a string: is a \" missing?"
	case strings.Contains(text, "comment"):
		return "file ends inside a comment: is a */ missing?"
	}
	return "file ends where a key or a value is expected"
}

// unexpected says where there is a character that has no place there.
func unexpected(text string, line []byte, column int) string {
	if column <= len(line) && line[column-1] == '#' {
		return "write comments with //, not with #"
	}
	if column <= len(line) && line[column-1] == '\'' {
		return "write strings in double quotes, not in single ones"
	}
	for _, known := range []struct{ where, say string }{
		{"after top-level value", "something follows after the end of the object"},
		{"at start of object name", "expected a key in double quotes"},
		{"after object name", "expected a : after the key"},
		{"after object value", "expected a , or } after the value"},
		{"after array value", "expected a , or ] after the value"},
		{"at start of value", "expected a value"},
		{"in line comment", "a line separator (U+2028, U+2029) inside a comment"},
	} {
		if strings.HasSuffix(text, known.where) || strings.Contains(text, known.where+" (") {
			return known.say
		}
	}
	return "is not valid JSON"
}
