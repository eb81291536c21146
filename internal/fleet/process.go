package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// Process is a fleet in a process of its own, the command fakefleet. Its methods
// are for one goroutine.
type Process struct {
	cmd   *exec.Cmd
	port  int
	in    io.WriteCloser
	lines *bufio.Scanner
}

// Launch starts the program at a path, which was built from the command
// fakefleet, and returns when its nodes can be connected to. It ends with this
// process at the latest.
func Launch(path string, nodes, slaves int) (*Process, error) {
	cmd := exec.Command(path, "-nodes", fmt.Sprint(nodes), "-slaves", fmt.Sprint(slaves))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, in: in, lines: bufio.NewScanner(out)}
	line, err := p.line()
	if err == nil {
		_, err = fmt.Sscanf(line, "ready %d", &p.port)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the fake fleet: %w", err), p.Close())
	}
	return p, nil
}

// Port returns the port that all nodes share.
func (p *Process) Port() int { return p.port }

// Do executes commands, as that of a Fleet does, and returns the answer to the
// last.
func (p *Process) Do(commands ...string) (string, error) {
	answer := ""
	for _, c := range commands {
		if _, err := io.WriteString(p.in, c+"\n"); err != nil {
			return "", err
		}
		line, err := p.line()
		if err != nil {
			return "", err
		}
		var ok bool
		if answer, ok = strings.CutPrefix(line, "ok "); !ok {
			return "", fmt.Errorf("fake fleet: %s: %s", c, line)
		}
	}
	return answer, nil
}

func (p *Process) line() (string, error) {
	if !p.lines.Scan() {
		return "", errors.Join(errors.New("the fake fleet has ended"), p.lines.Err())
	}
	return p.lines.Text(), nil
}

// Close ends the process and waits for that.
func (p *Process) Close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
