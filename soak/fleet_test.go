//go:build linux

package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"plusmoin/internal/fleet"
)

// The fake fleet: so many clusters, of a master and two slaves each.
const (
	fakeClusters = 8
	fakeSlaves   = 2
)

// fakeFleet is the fleet in a process of its own, which takes commands.
type fakeFleet struct {
	cmd    *exec.Cmd
	port   int
	in     io.WriteCloser
	lines  *bufio.Scanner
	random *rand.Rand
}

// startFleet builds and starts it.
func startFleet(dir string, random *rand.Rand) (*fakeFleet, error) {
	path := filepath.Join(dir, "fakefleet")
	if err := goBuild(path, "plusmoin/internal/fleet/cmd/fakefleet"); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "-nodes", fmt.Sprint(fakeClusters*(fakeSlaves+1)), "-slaves", fmt.Sprint(fakeSlaves))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
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
	f := &fakeFleet{cmd: cmd, in: in, lines: bufio.NewScanner(out), random: random}
	line, err := f.line()
	if err == nil {
		_, err = fmt.Sscanf(line, "ready %d", &f.port)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the fake fleet: %w", err), f.stop())
	}
	return f, nil
}

func (f *fakeFleet) line() (string, error) {
	if !f.lines.Scan() {
		return "", errors.Join(errors.New("the fake fleet has ended"), f.lines.Err())
	}
	return f.lines.Text(), nil
}

// do gives commands and returns the answer to the last.
func (f *fakeFleet) do(commands ...string) (string, error) {
	answer := ""
	for _, c := range commands {
		if _, err := io.WriteString(f.in, c+"\n"); err != nil {
			return "", err
		}
		line, err := f.line()
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

// stop ends the process, which ends with its input.
func (f *fakeFleet) stop() error { return errors.Join(f.in.Close(), f.cmd.Wait()) }

// cluster returns the nodes of a cluster, its master first.
func (f *fakeFleet) cluster(c int) []server {
	var nodes []server
	for m := range fakeSlaves + 1 {
		nodes = append(nodes, &fake{fleet: f, index: c*(fakeSlaves+1) + m, at: fmt.Sprintf("%d.%d", c, m)})
	}
	return nodes
}

// fake is a node of the fleet.
type fake struct {
	fleet *fakeFleet
	index int
	at    string // as the fleet calls it
	ended bool
}

// never is by how much a slave lags that does not replay.
const never = "10000h"

func (f *fake) Name() string  { return "f" + f.at }
func (f *fake) Host() string  { return fleet.Host(f.index) }
func (f *fake) Port() int     { return f.fleet.port }
func (f *fake) Running() bool { return !f.ended }
func (f *fake) Log() string   { return "" }

// do gives the fleet commands for this node: %s stands for it.
func (f *fake) do(commands ...string) error {
	for i, c := range commands {
		commands[i] = strings.Replace(c, "%s", f.at, 1)
	}
	_, err := f.fleet.do(commands...)
	return err
}

// Kill ends it. When it starts it replays all that it had received.
func (f *fake) Kill(context.Context) error {
	f.ended = true
	return f.do("down %s", "lag %s 0s")
}

func (f *fake) Stop(ctx context.Context) error { return f.Kill(ctx) }

func (f *fake) Start(context.Context) error {
	f.ended = false
	return f.do("thaw %s")
}

func (f *fake) Restart(ctx context.Context) error { return errors.Join(f.Kill(ctx), f.Start(ctx)) }

func (f *fake) Freeze() error { return f.do("hang %s") }
func (f *fake) Thaw() error   { return f.do("thaw %s") }

func (f *fake) Promote(context.Context) error      { return f.do("promote %s") }
func (f *fake) PauseReplay(context.Context) error  { return f.do("lag %s " + never) }
func (f *fake) ResumeReplay(context.Context) error { return f.do("lag %s 0s") }
func (f *fake) seal(context.Context) error         { return f.do("seal %s") }
func (f *fake) unseal(context.Context) error       { return f.do("thaw %s") }
func (f *fake) hangUp(context.Context) error       { return f.do("reset %s") }

// follow also starts it, as that of a PostgreSQL server does.
func (f *fake) follow(ctx context.Context, of server) error {
	err := f.do("follow %s " + of.(*fake).at)
	if err == nil && f.ended {
		err = f.Start(ctx)
	}
	return err
}

func (f *fake) rebuild(ctx context.Context, of server) error { return f.follow(ctx, of) }

// bar makes it useless for plusmoin in one of the ways a fake can be, but that
// its slaves need not mind.
func (f *fake) bar(context.Context) error {
	ways := []string{
		"garbage %s", "big %s 100000000",
		"refuse %s 28P01", "refuse %s 53300", "refuse %s 57P03", "refuse %s 3D000",
	}
	return f.do(ways[f.fleet.random.IntN(len(ways))], "reset %s")
}

func (f *fake) unbar(context.Context) error { return f.do("thaw %s") }

// received says nothing: all slaves of a cluster that serve have as much.
func (f *fake) received(context.Context) (string, error) { return "", nil }

func (f *fake) heartbeat(context.Context) (record, error) {
	text, err := f.fleet.do("show " + f.at)
	if err != nil {
		return record{}, err
	}
	return readRecord(text)
}
