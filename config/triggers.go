package config

import (
	"strings"

	"plusmoin/cluster"
)

// triggers returns the command lines of a key. A trigger without a command is
// left out.
func (s *section) triggers(key string) map[cluster.Kind][]string {
	commands := map[cluster.Kind][]string{}
	e, ok := s.take(key)
	if !ok {
		return commands
	}
	list, ok := e.section()
	if !ok {
		return commands
	}
	for _, kind := range cluster.Kinds() {
		if command := list.command(string(kind)); command != nil {
			commands[kind] = command
		}
	}
	list.close()
	return commands
}

// command returns the command line of a key, nil if there is nothing to run.
func (s *section) command(key string) []string {
	e, ok := s.take(key)
	if !ok {
		return nil
	}
	switch e.value.Kind() {
	case '"':
		line, _ := e.text()
		if strings.TrimSpace(line) == "" {
			return nil
		}
		return []string{"/bin/sh", "-c", line}
	case '[':
		return e.arguments()
	}
	e.expected("a shell command, an array of arguments or null")
	return nil
}

// arguments returns an array of strings of which the first names a program.
func (e element) arguments() []string {
	list, _ := e.elements()
	if len(list) == 0 {
		e.wrong("must name a program; null is for nothing")
		return nil
	}
	arguments := make([]string, len(list))
	for i, e := range list {
		text, ok := e.text()
		if ok && text == "" && i == 0 {
			e.wrong("must name a program")
		}
		arguments[i] = text
	}
	return arguments
}
