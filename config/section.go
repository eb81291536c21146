package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailscale/hujson"
)

// maxSeconds bounds every duration, some 31 years, so that sums of several stay
// far from overflowing.
const maxSeconds = 1_000_000_000

// sheet collects what is found wrong while one file is decoded.
type sheet struct {
	newlines []int // their offsets, increasing
	problems Errors
	warnings []Warning
	failed   map[string]bool // the keys that have a problem
}

func newSheet(data []byte) *sheet {
	s := &sheet{failed: map[string]bool{}}
	for i, c := range data {
		if c == '\n' {
			s.newlines = append(s.newlines, i)
		}
	}
	return s
}

func (s *sheet) line(offset int) int {
	n, _ := slices.BinarySearch(s.newlines, offset)
	return n + 1
}

// element is a value in the file, with its place.
type element struct {
	sheet *sheet
	path  string // such as nodes[2].port, "" for the whole
	line  int
	value hujson.ValueTrimmed
}

// wrong notes a problem with e.
func (e element) wrong(format string, args ...any) {
	e.sheet.problems = append(e.sheet.problems, Problem{e.line, e.path, fmt.Sprintf(format, args...)})
	e.sheet.failed[e.path] = true
}

// expected notes that e is of another type than what.
func (e element) expected(what string) {
	e.wrong("expected %s, found %s", what, e.kind())
}

func (e element) kind() string {
	switch e.value.Kind() {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	}
	return "an object"
}

// text returns e as a string.
func (e element) text() (string, bool) {
	literal, ok := e.value.(hujson.Literal)
	if !ok || literal.Kind() != '"' {
		e.expected("a string")
		return "", false
	}
	text := literal.String()
	if strings.ContainsRune(text, 0) {
		e.wrong("must not contain a NUL character")
		return "", false
	}
	return text, true
}

// number returns e as a number; one beyond the range of a float64 is infinite.
func (e element) number(what string) (float64, bool) {
	literal, ok := e.value.(hujson.Literal)
	if ok && literal.Kind() == '"' && looksLikeNumber(literal.String()) {
		e.wrong("write the number without quotes")
		return 0, false
	}
	if !ok || literal.Kind() != '0' {
		e.expected(what)
		return 0, false
	}
	// All a JSON number can be is out of range.
	n, _ := strconv.ParseFloat(string(literal), 64)
	return n, true
}

func looksLikeNumber(text string) bool {
	_, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return err == nil
}

// duration returns e, a number of seconds, rounded to nanoseconds.
func (e element) duration(what string) (time.Duration, bool) {
	n, ok := e.number(what)
	switch {
	case !ok:
		return 0, false
	case n < 0:
		e.wrong("must not be negative")
		return 0, false
	case n > maxSeconds:
		e.wrong("must be at most %d s", maxSeconds)
		return 0, false
	}
	return time.Duration(math.Round(n * float64(time.Second))), true
}

// interval returns e, a number of seconds above 0.
func (e element) interval(what string) (time.Duration, bool) {
	d, ok := e.duration(what)
	if ok && d == 0 {
		e.wrong("must be above 0")
		return 0, false
	}
	return d, ok
}

// elements returns the members of an array.
func (e element) elements() ([]element, bool) {
	array, ok := e.value.(*hujson.Array)
	if !ok {
		e.expected("an array")
		return nil, false
	}
	list := make([]element, len(array.Elements))
	for i, v := range array.Elements {
		list[i] = element{e.sheet, fmt.Sprintf("%s[%d]", e.path, i), e.sheet.line(v.StartOffset), v.Value}
	}
	return list, true
}

// section is an object in the file. Its keys are known by being asked for;
// close complains about the others.
type section struct {
	element
	members map[string]element
	order   []string // of the members in the file
	known   []string
}

// section returns e as an object. A duplicate key is a problem.
func (e element) section() (*section, bool) {
	object, ok := e.value.(*hujson.Object)
	if !ok {
		e.expected("an object")
		return nil, false
	}
	s := &section{element: e, members: map[string]element{}}
	for _, m := range object.Members {
		// The parser lets nothing but a string be a name.
		key := m.Name.Value.(hujson.Literal).String()
		member := element{e.sheet, s.join(key), e.sheet.line(m.Name.StartOffset), m.Value.Value}
		if first, twice := s.members[key]; twice {
			member.wrong("duplicate key, first on line %d", first.line)
			continue
		}
		s.members[key] = member
		s.order = append(s.order, key)
	}
	return s, true
}

// join returns the path of a key of s, quoted if it does not look like one.
func (s *section) join(key string) string {
	plain := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if !plain {
		key = strconv.QuoteToASCII(key)
	}
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

// take returns the value of a key. A key that is null counts as not there, so
// that a file from a template can leave it at its default.
func (s *section) take(key string) (element, bool) {
	s.known = append(s.known, key)
	e, ok := s.members[key]
	if !ok || e.value.Kind() == 'n' {
		return element{}, false
	}
	return e, true
}

// sound says that none of the keys has a problem.
func (s *section) sound(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return s.sheet.failed[s.join(key)] })
}

// text returns the string of a key. It may be empty only if the fallback is.
func (s *section) text(key, fallback string) string {
	e, ok := s.take(key)
	if !ok {
		return fallback
	}
	text, ok := e.text()
	if ok && text == "" && fallback != "" {
		e.wrong("must not be empty")
	}
	return text
}

// required returns the string of a key that must be there.
func (s *section) required(key string) string {
	e, ok := s.take(key)
	if !ok {
		element{sheet: s.sheet, path: s.join(key), line: s.line}.wrong("is required")
		return ""
	}
	text, ok := e.text()
	if ok && text == "" {
		e.wrong("must not be empty")
	}
	return text
}

// word returns the string of a key that must be one of words.
func (s *section) word(key, fallback string, words ...string) string {
	e, ok := s.take(key)
	if !ok {
		return fallback
	}
	text, ok := e.text()
	if ok && !slices.Contains(words, text) {
		e.wrong("must be one of %s, not %.40q", strings.Join(words, ", "), text)
	}
	return text
}

// choice returns the string of a key that may be words with commas between them,
// all of them with ! before or none; each once.
func (s *section) choice(key string, words ...string) string {
	e, ok := s.take(key)
	if !ok {
		return ""
	}
	text, ok := e.text()
	if !ok || text == "" {
		return ""
	}
	not := strings.HasPrefix(strings.TrimSpace(text), "!")
	var named []string
	for part := range strings.SplitSeq(text, ",") {
		word, negated := strings.CutPrefix(strings.TrimSpace(part), "!")
		switch {
		case !slices.Contains(words, word):
			e.wrong("must be some of %s with commas between them, not %.40q", strings.Join(words, ", "), word)
		case negated != not:
			e.wrong("all words must have ! before them, or none")
		case slices.Contains(named, word):
			e.wrong("duplicate word %q", word)
		default:
			named = append(named, word)
			continue
		}
		return ""
	}
	return text
}

// seconds returns the duration of a key, which may be 0.
func (s *section) seconds(key string, fallback time.Duration) time.Duration {
	e, ok := s.take(key)
	if !ok {
		return fallback
	}
	d, _ := e.duration("a number of seconds")
	return d
}

// positive returns the duration of a key, which must be above 0, and the
// fallback also if it is wrong.
func (s *section) positive(key string, fallback time.Duration) time.Duration {
	e, ok := s.take(key)
	if !ok {
		return fallback
	}
	d, ok := e.interval("a number of seconds")
	if !ok {
		return fallback
	}
	return d
}

// close notes the keys of s that were never asked for.
func (s *section) close() {
	for _, key := range s.order {
		if slices.Contains(s.known, key) {
			continue
		}
		text := "unknown key"
		if near := nearest(key, s.known); near != "" {
			text = fmt.Sprintf("unknown key, did you mean %q?", near)
		}
		s.members[key].wrong("%s", text)
	}
}

// inSeconds writes a duration as the file would.
func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}
