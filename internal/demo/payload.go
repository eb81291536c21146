package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// documentedKeys are those that every installation's scripts may rely on, and
// two that tell the story. The others hold details.
func documentedKeys() []string {
	return []string{"event", "cluster_id", "has_master", "trigger", "master", "slaves", "lost", "clusterless", "diagnosis"}
}

// payload writes the documented keys of what a trigger read, with the values
// it read.
func (s *screen) payload(raw []byte) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		s.prose(string(raw))
		return
	}
	open, keys := "{ ", documentedKeys()
	for i, key := range keys {
		end := ","
		if i == len(keys)-1 {
			end = " }"
		}
		for _, l := range member(open+fmt.Sprintf("%q: ", key), values[key], end, s.room(len(margin))) {
			s.line("%s%s", margin, s.paintJSON(l))
		}
		open = "  "
	}
}

// member lays out a key with its value in lines of at most so many columns: on
// one line if it fits, else with a line for each element of a list. What is
// still too long is broken after commas.
func member(key string, value json.RawMessage, end string, columns int) []string {
	text := spaced(value)
	if len(key)+len(text)+len(end) <= columns || !strings.HasPrefix(text, "[{") {
		return fold(key, text+end, columns)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(value, &elements); err != nil {
		return fold(key, text+end, columns)
	}
	lines := []string{key + "["}
	for i, e := range elements {
		after := ","
		if i == len(elements)-1 {
			after = "]" + end
		}
		lines = append(lines, fold("    ", spaced(e)+after, columns)...)
	}
	return lines
}

// fold appends text to a first line and breaks it after commas.
func fold(line, text string, columns int) []string {
	var lines []string
	for _, piece := range pieces(text) {
		if len(line)+len(piece) > columns && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimRight(line, " "))
			line, piece = "      ", strings.TrimSpace(piece)
		}
		line += piece
	}
	return append(lines, line)
}

// pieces cuts JSON after each comma, but for those within strings.
func pieces(text string) []string {
	var list []string
	from := 0
	for _, span := range jsonToken().FindAllStringIndex(text, -1) {
		if text[span[0]:span[1]] == "," {
			list = append(list, text[from:span[1]])
			from = span[1]
		}
	}
	return append(list, text[from:])
}

// spaced returns JSON on one line with a space after each comma and colon.
func spaced(value json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return "null" // the key is not there
	}
	return jsonToken().ReplaceAllStringFunc(b.String(), func(token string) string {
		if token == "," || token == ":" {
			return token + " "
		}
		return token
	})
}

// jsonToken matches a string, with the colon that makes it a key, or another
// word, or a mark.
func jsonToken() *regexp.Regexp {
	return regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[-+.\w]+|[,:]`)
}

// paintJSON colours a line of JSON. A token is never broken over two.
func (s *screen) paintJSON(line string) string {
	if !s.colour {
		return line
	}
	var b strings.Builder
	at := 0
	for _, span := range jsonToken().FindAllStringIndex(line, -1) {
		token := line[span[0]:span[1]]
		as := yellow
		switch {
		case token == "," || token == ":":
			as = plain
		case strings.HasPrefix(line[span[1]:], ":"):
			as = cyan
		case token[0] == '"':
			as = green
		}
		b.WriteString(line[at:span[0]] + s.paint(token, as))
		at = span[1]
	}
	return b.String() + line[at:]
}
