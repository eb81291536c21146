package triggers

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// identity names a process for ever. Its id alone may come to name another one
// when it has ended.
type identity struct {
	pid  int
	born uint64 // in ticks since the boot
}

// process is a process as /proc shows it.
type process struct {
	identity
	parent, group int
	zombie        bool
	name          string
}

// ticks returns the time since the boot as identity.born has it. A tick is a
// hundredth of a second on every architecture of Go's.
func ticks() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return uint64(time.Duration(t.Nano()) / (10 * time.Millisecond))
}

// each shows all processes that can be seen, and those that they start
// meanwhile: one that was gone when it was looked at may have left a child.
func each(see func(process)) error {
	last := newest()
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || last > 0 && pid > last {
			continue
		}
		if p, ok := look(pid); ok {
			see(p)
		}
	}
	const most = 10_000 // so that it ends on a machine that starts them faster than we look
	for end := last + most; last < end; {
		now := newest()
		if now <= last { // nothing new, or the ids began anew
			break
		}
		for pid := last + 1; pid <= min(now, end); pid++ {
			if p, ok := look(pid); ok && !isThread(pid) {
				see(p)
			}
		}
		last = now
	}
	return nil
}

// newest returns the id that was given last, 0 if it is not known. Threads have
// ids too.
func newest() int {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(load)
	if len(fields) == 0 {
		return 0
	}
	// It is the last field; what is no number gives 0.
	pid, _ := strconv.Atoi(string(fields[len(fields)-1]))
	return pid
}

// isThread says that an id is that of a thread of a process with another id.
func isThread(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err == nil && !bytes.Contains(status, []byte("\nTgid:\t"+strconv.Itoa(pid)+"\n"))
}

// look returns the process with an id, if there is one.
func look(pid int) (process, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	p, ok := parseStat(stat)
	p.pid = pid
	return p, ok
}

// parseStat reads a /proc/PID/stat but for the id. The name in it may contain
// anything.
func parseStat(stat []byte) (process, bool) {
	opens, closes := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if opens < 0 || closes < opens {
		return process{}, false
	}
	const state, parent, group, born = 0, 1, 2, 19
	fields := bytes.Fields(stat[closes+1:])
	if len(fields) <= born {
		return process{}, false
	}
	p := process{
		name:   string(stat[opens+1 : closes]),
		zombie: fields[state][0] == 'Z' || fields[state][0] == 'X',
	}
	var errs [3]error
	p.parent, errs[0] = strconv.Atoi(string(fields[parent]))
	p.group, errs[1] = strconv.Atoi(string(fields[group]))
	p.born, errs[2] = strconv.ParseUint(string(fields[born]), 10, 64)
	return p, errs == [3]error{}
}

// signal sends a signal to p and to nothing else.
func (p process) signal(s syscall.Signal) error {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return err
	}
	defer handle.Release() //nolint:errcheck // there is nothing to release twice
	if now, ok := look(p.pid); ok && now.born != p.born {
		return os.ErrProcessDone
	}
	return handle.Signal(s)
}
