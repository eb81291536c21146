package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/postgres"
)

// command is one command of a trigger.
type command struct {
	trigger cluster.Kind
	name    string // "" if it has none
	argv    []string
}

// commandsOf lists the commands of all triggers.
func commandsOf(cfg config.Config) []command {
	var list []command
	for _, kind := range cluster.Kinds() {
		named := cfg.Triggers[kind]
		for _, name := range slices.Sorted(maps.Keys(named)) {
			list = append(list, command{kind, name, named[name]})
		}
	}
	return list
}

func (c command) String() string {
	if c.name == "" {
		return "trigger " + string(c.trigger)
	}
	return fmt.Sprintf("trigger %s, command %s", c.trigger, c.name)
}

// programs judges whether the programs of triggers can be run.
func (c check) programs(who actor) []postgres.Finding {
	var found []postgres.Finding
	for _, command := range commandsOf(c.cfg) {
		program := programOf(command.argv)
		if program == "" {
			continue
		}
		path, trouble := executable(program)
		if trouble != "" {
			found = append(found, problem("%s: %s", command, trouble))
		} else if trouble := who.executes(path); trouble != "" {
			found = append(found, note("%s: %s, as which a daemon started without -x runs it", command, trouble))
		}
	}
	return found
}

// programOf returns the program of a command line; "" if a shell decides that.
// The first word of a shell command is one if it is an absolute path without
// anything that a shell reads otherwise.
func programOf(argv []string) string {
	if len(argv) != 3 || argv[0] != "/bin/sh" || argv[1] != "-c" {
		return argv[0]
	}
	fields := strings.Fields(argv[2])
	if len(fields) == 0 || !filepath.IsAbs(fields[0]) || strings.ContainsAny(fields[0], "\"'\\$`*?[]{}~#&|;<>()!=") {
		return ""
	}
	return fields[0]
}

// executable returns where a program is, or why it cannot be run by anybody.
func executable(program string) (path, trouble string) {
	if !strings.Contains(program, "/") {
		found, err := exec.LookPath(program)
		if err != nil {
			return "", "there is no program " + program + " in PATH"
		}
		return found, ""
	}
	if !filepath.IsAbs(program) {
		return "", program + " is no absolute path, and a daemon runs in no directory of its own"
	}
	info, err := os.Stat(program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "there is no " + program
	case err != nil:
		return "", err.Error()
	case info.IsDir():
		return "", program + " is a directory"
	case info.Mode().Perm()&0o111 == 0:
		return "", program + " is not executable"
	}
	return program, interpreter(program)
}

// interpreter returns what is wrong with the first line of a script.
func interpreter(program string) string {
	file, err := os.Open(program)
	if err != nil {
		return "" // it may be run and not be read
	}
	defer file.Close() // it was only read
	head := make([]byte, 256)
	n, _ := file.Read(head) // what cannot be read is no script
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	text, script := strings.CutPrefix(string(line), "#!")
	if !script {
		return ""
	}
	words := strings.Fields(text)
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return program + " begins with #! but names no interpreter"
	}
	if strings.HasSuffix(text, "\r") {
		return program + " has lines that end as in DOS: its interpreter is not found"
	}
	if _, err := os.Stat(words[0]); err != nil {
		return fmt.Sprintf("%s needs %s, which is not there", program, words[0])
	}
	return ""
}

// executes returns what keeps a from running a program.
func (a actor) executes(path string) string {
	if trouble, _ := a.enter(filepath.Dir(path)); trouble != "" {
		return trouble
	}
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	if !a.may(path, info, mayEnter) {
		return fmt.Sprintf("user %s may not run %s", a.name, path)
	}
	return ""
}
