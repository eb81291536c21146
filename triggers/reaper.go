package triggers

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reaper adopts what commands leave without a parent, so that it can be found,
// and sees to it that none of that stays a zombie, nor anything else that this
// process is given as process 1. It never takes the exit status of a process
// that somebody waits for.
type reaper struct {
	log *slog.Logger

	mu   sync.Mutex
	own  map[int]bool      // commands that are waited for elsewhere
	last mark              // that was given to a command
	seen map[int]time.Time // since when a zombie without a mark is known
}

func newReaper(log *slog.Logger) *reaper {
	r := &reaper{log: log, own: map[int]bool{}, seen: map[int]time.Time{}}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		log.Error("what triggers leave behind is not adopted", "error", err)
	}
	return r
}

// start starts a command, whose descendants all have the mark that is returned.
// What takes its exit status must call waited then.
func (r *reaper) start(cmd *exec.Cmd) (mark, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = max(mark(time.Now().UnixNano()), r.last+1)
	m := r.last
	remove, ok := m.put()
	if ok {
		defer remove()
	} else {
		m = 0
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	r.own[cmd.Process.Pid] = true
	return m, nil
}

// waited says that the exit status of a command was taken.
func (r *reaper) waited(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.own, pid)
}

// unhurried is how long a zombie without a mark is left to whoever may wait
// for it.
const unhurried = time.Second

// run reaps whenever a child has ended, until stop is closed.
func (r *reaper) run(stop <-chan struct{}) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	again := time.NewTimer(0) // there may be some already
	defer again.Stop()
	for {
		select {
		case <-stop:
			r.sweep()
			return
		case <-ended:
			again.Reset(20 * time.Millisecond) // there may be more to come
		case <-again.C:
			if r.sweep() {
				again.Reset(unhurried)
			}
		}
	}
}

// sweep reaps the zombies that nobody waits for, and says whether it is to be
// called again for some.
func (r *reaper) sweep() (more bool) {
	if !r.mu.TryLock() {
		return true // a command is being started
	}
	defer r.mu.Unlock()
	pids, err := children()
	if err != nil {
		r.log.Error("no orphans are reaped", "error", err)
		return false
	}
	known := r.seen
	r.seen = map[int]time.Time{}
	for _, pid := range pids {
		if p, ok := look(pid); r.own[pid] || !ok || !p.zombie {
			continue
		}
		since, ok := known[pid]
		if !ok {
			since = time.Now()
		}
		if markOf(pid) == 0 && time.Since(since) < unhurried {
			r.seen[pid], more = since, true
			continue
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil && !errors.Is(err, unix.ECHILD) {
			r.log.Error("orphan not reaped", "pid", pid, "error", err)
		}
	}
	return more
}

// children returns the ids of the children of this process, dead or alive. It
// asks for those of every thread, which is cheap, and where the kernel cannot
// tell looks at all processes.
func children() ([]int, error) {
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		return childrenByParent()
	}
	var pids []int
	for _, file := range files {
		list, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended, and another one has its children
		}
		for _, word := range bytes.Fields(list) {
			pid, err := strconv.Atoi(string(word))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func childrenByParent() ([]int, error) {
	var pids []int
	err := each(func(p process) {
		if p.parent == os.Getpid() {
			pids = append(pids, p.pid)
		}
	})
	return pids, err
}
