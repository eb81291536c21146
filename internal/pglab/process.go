package pglab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// launcher starts processes from one thread that lives as long as the lab: a
// parent death signal is sent when the thread that forked ends, not the program.
type launcher struct {
	jobs       chan func()
	quit, done chan struct{}
}

func startLauncher() *launcher {
	l := &launcher{jobs: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			select {
			case job := <-l.jobs:
				job()
			case <-l.quit:
				return
			}
		}
	}()
	return l
}

func (l *launcher) start(cmd *exec.Cmd) error {
	result := make(chan error)
	select {
	case l.jobs <- func() { result <- cmd.Start() }:
		return <-result
	case <-l.done:
		return errClosed
	}
}

// stop is called once, when everything started has ended.
func (l *launcher) stop() {
	close(l.quit)
	<-l.done
}

// guard is a small shell that outlives a killed program: it then kills what a
// death signal does not reach, the children of a frozen postmaster, and removes
// the folder of the lab.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser

	mu   sync.Mutex
	pids []int
}

// The last line read is the list of processes to kill. The pid file of a
// postmaster names its shared memory in line 7. Servers may need a moment to
// end and write until then, hence the second try.
const guardScript = `pids=
while read -r line; do pids=$line; done
for pid in $pids; do kill -KILL "$pid"; done
for file in "$1"/*/data/postmaster.pid; do
	[ -f "$file" ] && ipcrm -m "$(sed -n '7s/.* //p' "$file")"
done
rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }`

func startGuard(dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "pglab-guard", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &guard{cmd: cmd, pipe: pipe}, nil
}

// add gives the guard processes which must not outlive this program.
func (g *guard) add(pids ...int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pids = append(g.pids, pids...)
	return g.tell()
}

// remove takes away processes that have ended, or will by themselves.
func (g *guard) remove(pids ...int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pids = slices.DeleteFunc(g.pids, func(pid int) bool { return slices.Contains(pids, pid) })
	return g.tell()
}

func (g *guard) tell() error {
	line := strings.Trim(fmt.Sprint(g.pids), "[]")
	if _, err := io.WriteString(g.pipe, line+"\n"); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// release ends the guard when all servers have ended.
func (g *guard) release() error {
	return errors.Join(g.pipe.Close(), g.cmd.Wait())
}

// process is a postmaster, our direct child.
type process struct {
	pid  int
	done chan struct{} // closed when it has ended and was waited for
}

func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// wait waits for the end of the process.
func (p *process) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end of process %d: %w", p.pid, ctx.Err())
	}
}

// freeze stops the process, then its descendants, and returns all of them. The
// postmaster comes first, since it starts the others.
func (p *process) freeze() ([]int, error) {
	if err := signal(syscall.SIGSTOP, p.pid); err != nil {
		return nil, err
	}
	frozen := []int{p.pid}
	for {
		family, err := descendants(p.pid)
		if err != nil {
			return frozen, err
		}
		fresh := slices.DeleteFunc(family, func(pid int) bool { return slices.Contains(frozen, pid) })
		if len(fresh) == 0 {
			return frozen, nil
		}
		if err := signal(syscall.SIGSTOP, fresh...); err != nil {
			return frozen, err
		}
		frozen = append(frozen, fresh...)
	}
}

// endAll kills processes and waits until none is left.
func endAll(ctx context.Context, pids []int) error {
	if err := signal(syscall.SIGKILL, pids...); err != nil {
		return err
	}
	return poll(ctx, time.Millisecond, "end of processes", func(context.Context) (bool, error) {
		alive, err := living(pids)
		return len(alive) == 0, err
	})
}

// signal sends a signal to each process; one that is gone is no error.
func signal(sig syscall.Signal, pids ...int) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%v to process %d: %w", sig, pid, err)
		}
	}
	return nil
}

// entry is a line of the process table.
type entry struct {
	pid, parent int
	state       byte // R, S, T, Z, ... as ps shows it
}

// descendants returns the children of a process, their children and so on.
func descendants(pid int) ([]int, error) {
	table, err := processes()
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range table {
		if e.state != 'Z' {
			children[e.parent] = append(children[e.parent], e.pid)
		}
	}
	family := children[pid]
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i]]...)
	}
	return family, nil
}

// living returns those of pids which are processes, leaving out zombies: in a
// container nobody may wait for an orphan.
func living(pids []int) ([]int, error) {
	table, err := processes()
	if err != nil {
		return nil, err
	}
	var alive []int
	for _, e := range table {
		if e.state != 'Z' && slices.Contains(pids, e.pid) {
			alive = append(alive, e.pid)
		}
	}
	return alive, nil
}
