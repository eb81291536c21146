package pglab

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// childOf makes a process die with the thread that starts it.
func childOf(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr.Pdeathsig = syscall.SIGKILL
	attr.Setpgid = true // Ctrl-C is for the program, which then closes the lab
	return attr
}

// processes reads the process table.
func processes() ([]entry, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var table []entry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has just ended
		}
		e := entry{pid: pid}
		// The command in parentheses may itself hold any character.
		rest := stat[bytes.LastIndexByte(stat, ')')+1:]
		if _, err := fmt.Sscanf(string(rest), " %c %d", &e.state, &e.parent); err != nil {
			return nil, fmt.Errorf("/proc/%s/stat: %w", name, err)
		}
		table = append(table, e)
	}
	return table, nil
}
