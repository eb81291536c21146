//go:build !linux

package pglab

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// childOf leaves the end of orphans to the guard: only Linux has death signals.
func childOf(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr.Setpgid = true // Ctrl-C is for the program, which then closes the lab
	return attr
}

// processes reads the process table.
func processes() ([]entry, error) {
	out, err := exec.Command("ps", "-axo", "pid=,ppid=,state=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var table []entry
	for line := range strings.Lines(string(out)) {
		var e entry
		if _, err := fmt.Sscanf(line, "%d %d %c", &e.pid, &e.parent, &e.state); err != nil {
			return nil, fmt.Errorf("ps: %q: %w", line, err)
		}
		table = append(table, e)
	}
	return table, nil
}
