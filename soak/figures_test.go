//go:build linux

package soak

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// figure is what plusmoin took of the machine at one time.
type figure struct {
	memory      int // resident, KiB
	threads     int
	descriptors int
	goroutines  int // by its log
}

// figures are samples, a second apart.
type figures struct {
	log     string
	nodes   int
	samples []figure
	next    time.Time
}

var (
	residentForm   = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
	threadsForm    = regexp.MustCompile(`Threads:\s+(\d+)`)
	goroutinesForm = regexp.MustCompile(`.*msg=round .*goroutines=(\d+)`)
)

// openFiles counts the open files of a process. plusmoin lets only root see which
// they are; how many there are the system says since Linux 6.2.
func openFiles(pid int) (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return len(list), err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	return int(info.Size()), nil
}

// sample takes one, once a second at most.
func (f *figures) sample(pid int) error {
	if time.Now().Before(f.next) {
		return nil
	}
	f.next = time.Now().Add(time.Second)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	descriptors, err := openFiles(pid)
	if err != nil {
		return err
	}
	logged, err := tail(f.log)
	if err != nil {
		return err
	}
	now := figure{descriptors: descriptors}
	for _, of := range []struct {
		figure *int
		form   *regexp.Regexp
		text   []byte
	}{{&now.memory, residentForm, text}, {&now.threads, threadsForm, text}, {&now.goroutines, goroutinesForm, logged}} {
		if *of.figure, err = last(of.form, of.text); err != nil {
			return err
		}
	}
	f.samples = append(f.samples, now)
	return nil
}

// last returns the last number that a form finds.
func last(form *regexp.Regexp, text []byte) (int, error) {
	found := form.FindAllSubmatch(text, -1)
	if found == nil {
		return 0, fmt.Errorf("there is no %s", form)
	}
	return strconv.Atoi(string(found[len(found)-1][1]))
}

// tail returns the end of a file.
func tail(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	const enough = 1 << 16
	return io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-enough), enough))
}

// few is how many samples a quarter must have to be judged.
const few = 30

// atOnce is how many triggers run side by side, each watched by a thread.
const atOnce = 16

// trend compares the last quarter with the second. In one of them every node may
// be connected to that is not in the other, and as many triggers as may run; what
// is lost by each event or round is much more.
func (f *figures) trend() (string, error) {
	quarter := len(f.samples) / 4
	if quarter == 0 {
		return "no figures", nil
	}
	early, late := median(f.samples[quarter:2*quarter]), median(f.samples[3*quarter:])
	text := fmt.Sprintf("rss %d -> %d KiB, goroutines %d -> %d, threads %d -> %d, fds %d -> %d",
		early.memory, late.memory, early.goroutines, late.goroutines, early.threads, late.threads, early.descriptors, late.descriptors)
	switch {
	case quarter < few:
		return text, nil
	case late.memory > early.memory+early.memory/5+4096:
		return text, fmt.Errorf("memory grows: %s", text)
	case late.descriptors > early.descriptors+f.nodes:
		return text, fmt.Errorf("descriptors grow: %s", text)
	case late.goroutines > early.goroutines+f.nodes:
		return text, fmt.Errorf("goroutines grow: %s", text)
	case late.threads > early.threads+atOnce:
		return text, fmt.Errorf("threads grow: %s", text)
	}
	return text, nil
}

func median(list []figure) figure {
	middle := func(of func(figure) int) int {
		var all []int
		for _, f := range list {
			all = append(all, of(f))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return figure{
		middle(func(f figure) int { return f.memory }),
		middle(func(f figure) int { return f.threads }),
		middle(func(f figure) int { return f.descriptors }),
		middle(func(f figure) int { return f.goroutines }),
	}
}
