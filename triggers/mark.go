package triggers

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// mark is how the descendants of a command are known, wherever they went: one
// that forks twice is a child of ours like those of other commands, setsid
// gives it a group and a session of its own, and it may empty its environment.
// What all inherit and none has a reason to change is the soft limit of the CPU
// time that a process may take at real-time priority without a pause. Ours are
// some ten thousand years each, and no two are the same: a daemon that an
// earlier plusmoin's trigger left behind has another than any of this one's.
// The zero mark is none.
type mark uint64

// The marks that there are: nanoseconds since 1970.
const (
	firstMark mark = 1 << 60 // in 2006
	endOfMark mark = 1 << 62 // in 2116
)

// put makes m the mark of what this process starts, until the function that it
// returns is called. It says false, and nothing is changed, where the system
// does not let us.
func (m mark) put() (remove func(), ok bool) {
	var before unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, nil, &before); err != nil {
		return nil, false
	}
	if err := unix.Prlimit(0, unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: uint64(m), Max: before.Max}, nil); err != nil {
		return nil, false
	}
	return func() {
		// It was so before, and we were let change it.
		_ = unix.Prlimit(0, unix.RLIMIT_RTTIME, &before, nil)
	}, true
}

// markOf returns the mark of a process, also of a zombie and of one that runs
// as another user. It is none where it cannot be read.
func markOf(pid int) mark {
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits")
	if err != nil {
		return 0
	}
	return parseMark(limits)
}

func parseMark(limits []byte) mark {
	for line := range bytes.Lines(limits) {
		rest, ok := bytes.CutPrefix(line, []byte("Max realtime timeout"))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			return 0
		}
		n, err := strconv.ParseUint(string(fields[0]), 10, 64) // or unlimited
		if m := mark(n); err == nil && m >= firstMark && m < endOfMark {
			return m
		}
	}
	return 0
}
