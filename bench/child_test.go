package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/status"
)

// child is a process that is measured.
type child struct {
	*testing.B
	cmd *exec.Cmd
}

// launch starts cmd and ends it with the benchmark.
func launch(b *testing.B, cmd *exec.Cmd) child {
	b.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the benchmark is killed
	must(b, cmd.Start())
	c := child{b, cmd}
	b.Cleanup(c.end)
	return c
}

// end ends the process and waits for that.
func (c child) end() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	_ = c.cmd.Wait() // ended by a signal, or before
}

// cpu is the time that the process has used so far.
func (c child) cpu() time.Duration {
	c.Helper()
	d, err := cpuOf(c.cmd.Process.Pid)
	must(c.B, err)
	return d
}

// cpuOf reads the CPU clock of a process, which is finer than /proc.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // clock_getcpuclockid(3) makes the same of a pid
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("cpu clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// memory is the resident memory in KiB.
func (c child) memory() float64 {
	c.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	must(c.B, err)
	found := resident.FindSubmatch(text)
	if found == nil {
		c.Fatal("the process has ended")
	}
	kib, err := strconv.ParseFloat(string(found[1]), 64)
	must(c.B, err)
	return kib
}

// plusmoin is a running plusmoin.
type plusmoin struct {
	child
	dir     string
	file    string // status.json
	started time.Time
}

// options are the keys of a configuration.
type options map[string]any

// watch starts plusmoin on nodes.
func watch(b *testing.B, nodes []cluster.Node, more options) *plusmoin {
	b.Helper()
	dir := b.TempDir()
	listed := []map[string]any{}
	for _, n := range nodes {
		listed = append(listed, map[string]any{"host": n.Host, "port": n.Port})
	}
	config := options{
		"dbname": pglab.Database, "user": pglab.User, "password": pglab.Password, "sslmode": "disable",
		"nodes": listed, "status_file": filepath.Join(dir, "status.json"),
		"log_file": filepath.Join(dir, "log"), "pid_file": filepath.Join(dir, "pid"),
	}
	for key, value := range more {
		config[key] = value
	}
	path := filepath.Join(dir, "plusmoin.json")
	must(b, os.WriteFile(path, marshal(b, config), 0o600))
	log, err := os.Create(filepath.Join(dir, "log"))
	must(b, err)
	defer log.Close()
	cmd := exec.Command(plusmoinBinary(b), "-c", path, "-x", "start")
	cmd.Stdout, cmd.Stderr = log, log
	p := &plusmoin{dir: dir, file: config["status_file"].(string), started: time.Now()}
	p.child = launch(b, cmd)
	b.Cleanup(func() {
		if b.Failed() {
			p.showLog()
		}
	})
	return p
}

func (p *plusmoin) showLog() {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	p.Logf("log of plusmoin: %s %v", text[max(0, len(text)-4000):], err)
}

// head is the beginning of the status file: a whole one of thousands of nodes
// takes too long to read often.
type head struct {
	running bool
	number  int
	took    time.Duration
}

var headForm = regexp.MustCompile(`"state": ?"(\w+)".*"number": ?(\d+), ?"duration_ms": ?([0-9.e+-]+)`)

func (p *plusmoin) head() head {
	file, err := os.Open(p.file)
	if err != nil {
		return head{} // no round yet
	}
	defer file.Close()
	var text [1024]byte
	n, err := file.Read(text[:])
	must(p.B, err)
	found := headForm.FindSubmatch(bytes.ReplaceAll(text[:n], []byte("\n"), nil))
	if found == nil {
		p.Fatalf("status file begins with %q", text[:n])
	}
	number, err := strconv.Atoi(string(found[2]))
	must(p.B, err)
	took, err := strconv.ParseFloat(string(found[3]), 64)
	must(p.B, err)
	return head{string(found[1]) == string(status.Running), number, time.Duration(took * float64(time.Millisecond))}
}

func (p *plusmoin) status() status.Document {
	p.Helper()
	doc, err := status.Read(p.file)
	must(p.B, err)
	return doc
}

// settled waits until the start is over and all nodes are masters or slaves,
// and returns how long after the start that was.
func (p *plusmoin) settled(limit time.Duration) time.Duration {
	p.Helper()
	until(p.B, limit, "the start is not over", func() bool { return p.head().running })
	round := -1
	until(p.B, limit, "not all nodes are masters or slaves", func() bool {
		if h := p.head(); h.number == round {
			return false
		}
		doc := p.status()
		round = int(doc.Round.Number)
		places := census(doc)
		return places[cluster.Lost] == 0 && places[cluster.Clusterless] == 0
	})
	return time.Since(p.started)
}

// census counts the nodes of each place.
func census(doc status.Document) map[cluster.Place]int {
	count := map[cluster.Place]int{}
	for _, n := range doc.Nodes {
		count[n.State]++
	}
	return count
}

// next waits for another round to be over and returns how long it took.
func (p *plusmoin) next(limit time.Duration) time.Duration {
	p.Helper()
	before := p.head().number
	now := head{}
	until(p.B, limit, "no further round", func() bool { now = p.head(); return now.number != before })
	return now.took
}
