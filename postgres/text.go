package postgres

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What servers write is shown to people and handed to programs. All of it goes
// through this file first.

const (
	// maxText and maxTextBytes bound a text for people so that with the longest
	// hint it has 1,024 bytes at most.
	maxText      = 300 // runes
	maxTextBytes = 800
	// maxName bounds the name of a host, a node or the like, in bytes.
	maxName = 256
)

// tidy makes one short line of a text that a server may have written.
func tidy(text string) string {
	lines := strings.FieldsFunc(firstBytes(text, 2*maxTextBytes), func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	})
	for i, line := range lines {
		lines[i] = strings.TrimSpace(visible(line, hidden))
	}
	tidied := strings.Join(slices.Compact(lines), "; ") // prefer tries twice, in vain alike
	short := firstBytes(tidied, maxTextBytes)
	if runes := []rune(short); len(runes) > maxText {
		short = string(runes[:maxText])
	}
	if len(short) < len(tidied) || len(text) > 2*maxTextBytes {
		short += "..."
	}
	return short
}

// name makes a name that a server wrote fit to be shown and compared. One that
// is longer than a name is or holds what cannot be seen is marked, so that it
// is never taken for the name of a node.
func name(text string) string {
	short := firstBytes(text, maxName)
	clean := visible(short, hidden)
	if len(short) < len(text) || len(clean) > maxName {
		return firstBytes(clean, maxName-len(mark)) + mark
	}
	return clean
}

// mark ends a name that was cut, and hidden stands for what cannot be seen. No host
// has either in its name.
const (
	mark   = "\u2026"
	hidden = '?'
)

// visible puts other in the place of what is no text or cannot be seen: controls,
// marks of direction, joiners and the like.
func visible(text string, other rune) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return other
		case unicode.Is(unicode.Zs, r):
			return ' '
		case !unicode.IsPrint(r), unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return other
		}
		return r
	}, text)
}

// firstBytes returns at most so many bytes of a text, and no part of a character
// at the end.
func firstBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
