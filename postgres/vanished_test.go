//go:build linux

package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
)

// A host that vanishes says nothing. An idle connection to it notices that all
// the same, and a look at it fails in time.
func TestVanishedHost(t *testing.T) {
	if os.Geteuid() != 0 {
		const loud = "NOT TESTED: only root can make hosts vanish (TestVanishedHost)"
		t.Log(loud)
		fmt.Fprintln(os.Stderr, loud)
		return
	}
	t.Parallel()
	for name, vanish := range map[string]func(*host) error{
		"link down":  func(h *host) error { return h.do("ip", "link", "set", h.link, "down") },
		"black hole": func(h *host) error { return h.do("ip", "route", "add", "blackhole", h.peer+"/32") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			f := openFleet(t, with(quick))
			n := cluster.Node{Host: h.address, Port: h.serve(speaker{}.serve)}
			lookUntil(t, f, n, answered)
			began := time.Now()
			must(t, vanish(h))
			dropped(t, f)
			took := time.Since(began)
			t.Logf("noticed after %v", took)
			if took < HostTimeout/4 || took > HostTimeout+1500*time.Millisecond {
				t.Errorf("noticed after %v, want about %v", took, HostTimeout)
			}
			seen := lookAt(t, f, n)
			if answered(seen) {
				t.Errorf("after that: %+v", seen)
			}
			seen = lookUntil(t, f, n, func(s cluster.Sighting) bool { return s.Reason != cluster.ReasonConnecting })
			if seen.Reason != cluster.ReasonTimeout && seen.Reason != cluster.ReasonUnreachable {
				t.Errorf("after that: %+v", seen)
			}
		})
	}
}

// host is a machine of its own, as far as the network goes: a network namespace
// with one link to ours. The namespace has no name and belongs to one thread of
// this process, so that nothing is left of it however the test ends.
type host struct {
	t             *testing.T
	link          string // its end of the link
	address, peer string // its own and ours
	work          chan func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, work: make(chan func())}
	entered := make(chan error)
	thread := make(chan int, 1)
	left := make(chan struct{})
	go func() {
		defer close(left)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		thread <- unix.Gettid()
		entered <- unix.Unshare(unix.CLONE_NEWNET)
		for do := range h.work {
			do()
		}
	}()
	id := <-thread
	t.Cleanup(func() {
		close(h.work)
		<-left
	})
	if err := <-entered; err != nil {
		t.Fatalf("a network namespace, which root is to have, cannot be made: %v", err)
	}
	h.connect(id)
	return h
}

// connect makes the link. The thread's id makes names and addresses unique; the
// addresses are of the range for tests of networks, 198.18.0.0/15.
func (h *host) connect(thread int) {
	h.t.Helper()
	ours := fmt.Sprintf("pm%da", thread)
	h.link = fmt.Sprintf("pm%db", thread)
	block := thread % (1 << 15) * 4
	h.peer = fmt.Sprintf("198.%d.%d.%d", 18+block>>16, block>>8&255, block&255+1)
	h.address = fmt.Sprintf("198.%d.%d.%d", 18+block>>16, block>>8&255, block&255+2)
	must(h.t, command("ip", "link", "add", ours, "type", "veth", "peer", "name", h.link, "netns", fmt.Sprint(thread)))
	h.t.Cleanup(func() { _ = command("ip", "link", "del", ours) }) // goes with the namespace at the latest
	must(h.t, command("ip", "address", "add", h.peer+"/30", "dev", ours))
	must(h.t, command("ip", "link", "set", ours, "up"))
	must(h.t, h.do("ip", "address", "add", h.address+"/30", "dev", h.link))
	must(h.t, h.do("ip", "link", "set", h.link, "up"))
}

// do runs a command on the host.
func (h *host) do(words ...string) error {
	done := make(chan error)
	h.work <- func() { done <- command(words...) }
	return <-done
}

// serve serves a port of the host until the test ends.
func (h *host) serve(serve func(net.Conn)) (port int) {
	h.t.Helper()
	var listener net.Listener
	listening := make(chan error)
	h.work <- func() {
		var err error
		listener, err = net.Listen("tcp4", h.address+":0")
		listening <- err
	}
	must(h.t, <-listening)
	serveOn(h.t, listener, serve)
	return listener.Addr().(*net.TCPAddr).Port
}

func command(words ...string) error {
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, out)
	}
	return nil
}
