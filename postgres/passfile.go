package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plusmoin/cluster"
)

// socketHost is what a line may say for a Unix socket, beside its directory.
// libpq takes it for the socket in the default directory only.
const socketHost = "localhost"

// fromPassfile returns the password that a passfile has for a connection, and
// else why there is none, as an end of a sentence.
func fromPassfile(path string, n cluster.Node, database, user string) (password, lack string) {
	if path == "" {
		return "", "no password is configured"
	}
	data, info, err := readFile(path)
	switch {
	case absent(err):
		return "", fmt.Sprintf("no password is configured and there is no %s", path)
	case err != nil:
		return "", fmt.Sprintf("the passfile is of no use: %v", err)
	case exposed(info):
		return "", fmt.Sprintf("passfile %s has group or world access and is ignored, as by libpq: chmod 0600 it", path)
	}
	hosts := []string{n.Host}
	if isSocket(n.Host) {
		hosts = append(hosts, socketHost)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if password, ok := passwordIn(line, hosts, strconv.Itoa(n.Port), database, user); ok {
			return password, "its line in passfile " + path + " has none"
		}
	}
	return "", fmt.Sprintf("passfile %s has no line for %s, database %s and user %s", path, n, database, user)
}

// passwordIn returns the password of a line host:port:database:user:password if
// the line is for that connection. What is behind the password's colon is no
// part of it, as with libpq.
func passwordIn(line string, hosts []string, others ...string) (password string, ok bool) {
	if strings.HasPrefix(line, "#") {
		return "", false
	}
	text, rest, ok := passField(line)
	if !ok || text != "*" && !slices.Contains(hosts, unescaped(text)) {
		return "", false
	}
	for _, want := range others {
		if text, rest, ok = passField(rest); !ok || text != "*" && unescaped(text) != want {
			return "", false
		}
	}
	text, _, _ = passField(rest)
	return unescaped(text), true
}

// passField cuts a line at the first colon that has no backslash before it.
func passField(line string) (field, rest string, found bool) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ':':
			return line[:i], line[i+1:], true
		}
	}
	return line, "", false
}

// unescaped takes the backslashes out that keep the next byte from its meaning.
func unescaped(field string) string {
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+1 < len(field) {
			i++
		}
		b.WriteByte(field[i])
	}
	return b.String()
}
