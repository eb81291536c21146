package triggers

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"syscall"
	"time"

	"plusmoin/internal/awake"
)

// group is a process group whose leader is a child of ours that has not been
// reaped. As long as that is so, dead or alive, its id cannot come to name a
// stranger, and signalling it is safe.
type group struct {
	id    int
	ended <-chan struct{} // closed when the leader has ended
}

// end sends SIGTERM to all members and, to those that are there a grace later,
// SIGKILL. It returns when all have ended, which can take long only where the
// kernel itself holds a process.
func (g group) end(grace time.Duration) {
	g.signal(syscall.SIGTERM)
	g.wait(grace)
	g.signal(syscall.SIGKILL)
	g.wait(grace)
	<-g.ended
}

// signal has nobody to tell of an error: a member that we may not signal is
// out of reach, and the leader is always there to be signalled.
func (g group) signal(s syscall.Signal) {
	_ = syscall.Kill(-g.id, s)
}

// wait waits until no member lives, or for limit, of which only time counts in
// which this process ran. Members other than the
// leader are not our children, so they have to be looked for.
func (g group) wait(limit time.Duration) {
	within, cancel := awake.WithTimeout(context.Background(), limit)
	defer cancel()
	select {
	case <-g.ended:
	case <-within.Done():
		return
	}
	const slowest = 250 * time.Millisecond
	for pause := 5 * time.Millisecond; g.lives(); pause = min(2*pause, slowest) {
		select {
		case <-time.After(pause):
		case <-within.Done():
			return
		}
	}
}

// lives says that a member is there that is no zombie. Where it cannot be
// known it says so too: the waiting is bounded.
func (g group) lives() bool {
	dir, err := os.Open("/proc")
	if err != nil {
		return true
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return true
	}
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if id, alive := parseStat(stat); alive && id == g.id {
			return true
		}
	}
	return false
}

// parseStat reads a /proc/PID/stat: the process group, and whether the process
// is more than a zombie. The name before these may contain anything.
func parseStat(stat []byte) (group int, alive bool) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 3 {
		return 0, false
	}
	group, err := strconv.Atoi(string(fields[2]))
	if err != nil {
		return 0, false
	}
	state := fields[0][0]
	return group, state != 'Z' && state != 'X'
}
