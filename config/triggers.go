package config

import (
	"strings"

	"plusmoin/cluster"
)

// triggers returns the command lines of a key, by event and by name, which is
// "" for a command without one. A trigger without a command is left out.
func (s *section) triggers(key string) map[cluster.Kind]map[string][]string {
	commands := map[cluster.Kind]map[string][]string{}
	e, ok := s.take(key)
	if !ok {
		return commands
	}
	list, ok := e.section()
	if !ok {
		return commands
	}
	for _, kind := range cluster.Kinds() {
		if named := list.commands(string(kind)); len(named) > 0 {
			commands[kind] = named
		}
	}
	list.close()
	return commands
}

// commands returns the command lines of an event.
func (s *section) commands(key string) map[string][]string {
	e, ok := s.take(key)
	if !ok {
		return nil
	}
	if e.value.Kind() != '{' {
		if argv := e.command("a shell command, an array of arguments, an object of named commands or null"); argv != nil {
			return map[string][]string{"": argv}
		}
		return nil
	}
	named := map[string][]string{}
	list, _ := e.section()
	for _, name := range list.order {
		e, ok := list.take(name)
		if name == "" {
			list.members[name].wrong("a command needs a name")
		}
		if !ok {
			continue
		}
		if argv := e.command("a shell command, an array of arguments or null"); argv != nil {
			named[name] = argv
		}
	}
	return named
}

// command returns the command line that e is, nil if there is nothing to run.
func (e element) command(what string) []string {
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
	e.expected(what)
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
