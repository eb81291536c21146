package triggers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/internal/awake"
)

// dying is how long a process may take to go after SIGKILL, and how long those
// that we may not signal are waited for: they may end with the others.
const dying = time.Second

// family is a command and all that it has started, and so on, wherever that
// went. The leader is a child of ours that is not reaped while its family is
// of interest: so neither its id nor that of its group can name a stranger.
type family struct {
	leader process
	mark   mark
	met    map[identity]bool // those found so far
}

// survivor is a process that could not be ended.
type survivor struct {
	process
	err error // from signalling it; nil if it was signalled but did not end
}

// end sends SIGTERM to all members and SIGKILL to those that are there a grace
// later. Of both only time counts in which this process ran. It returns those
// that are there still.
func (f family) end(grace time.Duration) []survivor {
	left := f.signal(syscall.SIGTERM, grace)
	if refused(left) {
		return left
	}
	return f.signal(syscall.SIGKILL, dying)
}

// signal signals all members and waits until there is none, for limit at most,
// or until all that are left have refused the signal for long. It returns those.
func (f family) signal(s syscall.Signal, limit time.Duration) []survivor {
	within, cancel := awake.WithTimeout(context.Background(), limit)
	defer cancel()
	c := call{signal: s, began: ticks(), sent: map[identity]error{}}
	var hopeless time.Time // since when all that are left refuse
	slowest, found := 250*time.Millisecond, func(process) {}
	if s == syscall.SIGKILL { // it is a chase if they fork on and on
		slowest, found = 20*time.Millisecond, func(p process) { _ = c.send(p, true) } // it is told below
	}
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, slowest) {
		left := c.to(f.members(found))
		switch {
		case len(left) == 0:
			return nil
		case !refused(left):
			hopeless = time.Time{}
		case hopeless.IsZero():
			hopeless = time.Now()
		case time.Since(hopeless) >= dying:
			return left
		}
		select {
		case <-within.Done():
			return left
		case <-time.After(pause):
		}
	}
}

func refused(list []survivor) bool {
	return !slices.ContainsFunc(list, func(s survivor) bool { return !errors.Is(s.err, unix.EPERM) })
}

// call is a signal that is sent to every member once.
type call struct {
	signal syscall.Signal
	began  uint64 // in ticks
	sent   map[identity]error
}

// to sends the signal to those that have not had it. What was started after
// the call began is asked for nothing, as it may be what tidies up; but it is
// killed.
func (c call) to(members []process) []survivor {
	first := len(c.sent) == 0
	left := make([]survivor, 0, len(members))
	for _, p := range members {
		left = append(left, survivor{p, c.send(p, first || p.born < c.began || c.signal == syscall.SIGKILL)})
	}
	return left
}

// send sends the signal to p or only finds out whether it might. It returns
// what came of that, now or before.
func (c call) send(p process, meant bool) error {
	err, known := c.sent[p.identity]
	if known {
		return err
	}
	if meant {
		err = p.signal(c.signal)
	} else {
		err = p.signal(0)
	}
	c.sent[p.identity] = err
	return err
}

// members returns those that live, the oldest first: a shell is told before the
// command that it waits for, or it would begin its next one. It shows those
// that it knows by themselves as soon as it finds them. Where /proc cannot be
// read, it is the leader alone.
func (f family) members(found func(process)) []process {
	var all []process
	in := map[int]bool{f.leader.pid: true}
	err := each(func(p process) {
		all = append(all, p)
		if p.group != f.leader.pid && !f.met[p.identity] && !f.marked(p) {
			return
		}
		in[p.pid] = true
		if !p.zombie {
			found(p)
		}
	})
	if err != nil {
		return []process{f.leader}
	}
	// The children of members too, should one have got rid of its mark. It is a
	// member still when its parent has ended.
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.parent] && !in[p.pid] {
				in[p.pid], grown = true, true
			}
		}
	}
	all = slices.DeleteFunc(all, func(p process) bool { return !in[p.pid] || p.zombie })
	for _, p := range all {
		f.met[p.identity] = true
	}
	slices.SortFunc(all, func(a, b process) int {
		return cmp.Or(cmp.Compare(a.born, b.born), cmp.Compare(a.pid, b.pid))
	})
	return all
}

// marked says whether p has the mark of the family, which nothing can that is
// older than its leader.
func (f family) marked(p process) bool {
	return f.mark != 0 && p.born >= f.leader.born && markOf(p.pid) == f.mark
}
