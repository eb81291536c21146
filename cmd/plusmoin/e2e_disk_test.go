//go:build linux

package main_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plusmoin/internal/pglab"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// smallDisk gives plusmoin a status file on a small file system, mounted where
// only plusmoin sees it, so that nothing is left of it whatever becomes of the
// test. Where the mount is not allowed, a user namespace allows it.
func (w *watch) smallDisk(size string) {
	w.t.Helper()
	var problems []string
	for _, flags := range [][]string{{"-m"}, {"-U", "-r", "-m"}} {
		holder, err := holdMount(flags, filepath.Join(w.dir, "run"), size)
		if err != nil {
			problems = append(problems, fmt.Sprintf("unshare %s: %v", strings.Join(flags, " "), err))
			continue
		}
		w.release = func() {
			_ = holder.Process.Kill()
			_ = holder.Wait() // killed
		}
		pid := holder.Process.Pid
		w.place = fmt.Sprintf("/proc/%d/root%s/run", pid, w.dir)
		w.wrap = []string{"nsenter", fmt.Sprintf("--target=%d", pid), "--mount"}
		if slices.Contains(flags, "-U") {
			w.wrap = append(w.wrap, "--user", "--preserve-credentials")
		}
		w.wrap = append(w.wrap, "--wd="+w.dir, "--")
		return
	}
	w.t.Fatalf("a small file system is needed to fill:\n%s", strings.Join(problems, "\n"))
}

// holdMount starts a process that holds a mount namespace with a small file
// system at dir.
func holdMount(flags []string, dir, size string) (*exec.Cmd, error) {
	const script = `mount -t tmpfs -o mode=755,size="$2" tmpfs "$1" && echo ready && exec sleep infinity`
	holder := exec.Command("unshare", append(flags, "sh", "-c", script, "sh", dir, size)...)
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaint strings.Builder
	holder.Stderr = &complaint
	out, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		err := holder.Wait()
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return holder, nil
}

// reader reads the status file without a pause, and finds fault with every
// version that is not whole.
type reader struct {
	quit  chan struct{}
	done  sync.WaitGroup
	reads int
	fault error
}

// readTightly begins to read; the file must be there. The test must call end.
func (w *watch) readTightly() *reader {
	r := &reader{quit: make(chan struct{})}
	path := w.statusFile()
	r.done.Go(func() {
		for r.fault == nil {
			select {
			case <-r.quit:
				return
			default:
			}
			var d status.Document
			text, err := os.ReadFile(path)
			if err == nil {
				err = json.Unmarshal(text, &d)
			}
			if err == nil && len(d.Nodes) == 0 {
				err = errors.New("no nodes in it")
			}
			if err != nil {
				r.fault = fmt.Errorf("after %d good reads: %w: %q", r.reads, err, text)
			}
			r.reads++
		}
	})
	return r
}

func (r *reader) end(t *testing.T) {
	t.Helper()
	close(r.quit)
	r.done.Wait()
	if r.fault != nil {
		t.Errorf("a reader of status.json: %v", r.fault)
	}
	if r.reads < 100 {
		t.Errorf("only %d reads", r.reads)
	}
}

// litter returns what is beside the status file and its lock, which is there for
// as long as plusmoin runs.
func (w *watch) litter() []string {
	w.t.Helper()
	files, err := os.ReadDir(w.place)
	must(w.t, err)
	var names []string
	for _, f := range files {
		lock := f.Name() == "status.json.lock" && w.process != nil
		if f.Name() != "status.json" && !lock {
			names = append(names, f.Name())
		}
	}
	return names
}

// fill writes into a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for _, block := range []int{4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, block))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("filling the disk: %v", err)
		}
	}
}

// ballast are nodes that make the status file long, so that a torn one would be
// seen: nothing listens where they are.
func ballast(number int) []node {
	list := make([]node, number)
	for i := range list {
		list[i] = node{name: fmt.Sprint("ballast", i), host: fmt.Sprintf("127.9.9.%d", i+1), port: 1}
	}
	return list
}

func TestStatusFileIsWholeThroughKillsAndLeavesNoLitter(t *testing.T) {
	t.Parallel()
	servers := cast(t, pglab.New(t), "m", "s1")
	// As long as it starts it tells nothing, so nothing is lost by a kill.
	w := newWatch(t, conf{"heartbeat": 0.02, "fail_interval": 3, "log_level": "error"})
	triggers := story.Recorder(w.EventsFile)
	delete(triggers, "plusmoin_heartbeat") // fifty a second
	w.configure(conf{"triggers": triggers}, append(nodesOf(servers...), ballast(150)...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	r := w.readTightly()
	for range 12 {
		<-time.After(rand.N(50 * time.Millisecond)) // anywhere in a round
		w.kill()
		killed := time.Now()
		w.start()
		w.Until("a new start", func(d status.Document) bool { return d.UpdatedAt.After(killed) })
		w.Until("no litter", func(status.Document) bool { return len(w.litter()) == 0 })
	}
	w.Expect("plusmoin_up 0")
	r.end(t)
	w.stop()
	if left := w.litter(); len(left) > 0 {
		t.Errorf("beside the status file there is %q", left)
	}
}

func TestFullDiskIsSurvived(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	w := newWatch(t, conf{"fail_interval": 2})
	w.smallDisk("512k")
	w.configure(nil, append(nodesOf(servers...), ballast(40)...)...)
	w.start()
	w.Expect("plusmoin_up 0")
	r := w.readTightly()

	stone := filepath.Join(w.place, "stone")
	fill(t, stone)
	must(t, servers[1].Stop(ctx))
	w.Expect("slave_down 0 s1")
	stale := w.Status().Round.Number
	must(t, servers[1].Start(ctx))
	w.Expect("slave_up 0 s1")
	if now := w.Status().Round.Number; now != stale {
		t.Fatalf("status.json went from round %d to %d; the disk was not full", stale, now)
	}
	if left := w.litter(); !slices.Equal(left, []string{"stone"}) {
		t.Errorf("beside the status file there is %q", left)
	}
	if !strings.Contains(w.log(), "no space left on device") {
		t.Error("the log does not speak of the full disk")
	}
	w.kill() // and no file can be written at the next start either
	w.start()
	w.Expect("plusmoin_up 0")
	if now := w.Status().Round.Number; now != stale {
		t.Fatalf("status.json went from round %d to %d; the disk was not full", stale, now)
	}

	must(t, os.Remove(stone))
	w.Until("written again", func(d status.Document) bool { return d.State == status.Running && d.UpdatedAt.After(w.Last().Time) })
	w.Quiet(2)
	r.end(t)
	w.stop()
	if left := w.litter(); len(left) > 0 {
		t.Errorf("beside the status file there is %q", left)
	}
}
