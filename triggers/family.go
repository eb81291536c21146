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
	if len(f.signal(syscall.SIGTERM, grace)) == 0 {
		return nil
	}
	return f.signal(syscall.SIGKILL, dying)
}

// signal signals all members and waits until there is none, for limit at most.
// It returns those that are left. What a member starts meanwhile is asked to
// end only if it was started before the member was, as it may be what tidies
// up; but it is killed.
func (f family) signal(s syscall.Signal, limit time.Duration) []survivor {
	within, cancel := awake.WithTimeout(context.Background(), limit)
	defer cancel()
	began := ticks()
	type identity struct {
		pid  int
		born uint64
	}
	sent := map[identity]error{}
	var hopeless time.Time // since when all that are left refuse the signal
	const slowest = 250 * time.Millisecond
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, slowest) {
		members := f.members()
		if len(members) == 0 {
			return nil
		}
		var left []survivor
		refuse := true
		for _, p := range members {
			id := identity{p.pid, p.born}
			err, known := sent[id]
			if !known && (len(sent) == 0 || p.born < began || s == syscall.SIGKILL) {
				err = p.signal(s)
			}
			left = append(left, survivor{p, err})
			refuse = refuse && errors.Is(err, unix.EPERM)
		}
		for _, p := range left {
			sent[identity{p.pid, p.born}] = p.err
		}
		switch {
		case !refuse:
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

// members returns those that live, the oldest first: a shell is told before the
// command that it waits for, or it would begin its next one. Where /proc cannot
// be read, it is the leader alone.
func (f family) members() []process {
	all, err := processes()
	if err != nil {
		return []process{f.leader}
	}
	in := map[int]bool{f.leader.pid: true}
	for _, p := range all {
		if p.group == f.leader.pid || f.marked(p) {
			in[p.pid] = true
		}
	}
	// The children of members too, should one have got rid of its mark.
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.parent] && !in[p.pid] {
				in[p.pid], grown = true, true
			}
		}
	}
	all = slices.DeleteFunc(all, func(p process) bool { return !in[p.pid] || p.zombie })
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
