package postgres

import (
	"bytes"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
)

// Requests at any moment of a wait or an exchange are all taken, and not one
// exchange is broken by a ring: the connection stays the same. One who asks
// alone has nobody whose ring would make up for a lost one.
func TestNoRingIsLost(t *testing.T) {
	var connections atomic.Int32
	n := fakeServer(t, func(conn net.Conn) {
		connections.Add(1)
		speaker{}.serve(conn)
	})
	f := openFleet(t, labSettings())
	lookUntil(t, f, n, answered)
	link := f.targets[n].connLoop
	alone := post(t, link, time.Now().Add(700*time.Millisecond))

	end := time.Now().Add(700 * time.Millisecond)
	var posted, looks atomic.Int64
	var posters sync.WaitGroup
	for range requestsAtOnce - 3 { // a look and a beat have their places too
		posters.Go(func() { posted.Add(post(t, link, end)) })
	}
	for time.Now().Before(end) {
		if seen := lookAt(t, f, n); !answered(seen) {
			t.Fatalf("look %d: %+v", looks.Load(), seen)
		}
		sendBeat(t, f, beatOf(1, n, 1))
		looks.Add(1)
	}
	posters.Wait()
	t.Logf("%d requests alone, %d together, %d looks", alone, posted.Load(), looks.Load())
	if connections.Load() != 1 || len(f.Dropped()) != 0 {
		t.Errorf("%d connections", connections.Load())
	}
}

// post posts requests one after the other, each a moment of its own after the
// link has taken the last, and returns how many were taken.
func post(t *testing.T, l *connLoop, end time.Time) (taken int64) {
	for time.Now().Before(end) {
		done := make(chan struct{})
		l.post(func() { close(done) })
		select {
		case <-done:
			taken++
		case <-time.After(5 * time.Second):
			t.Error("a request was not taken")
			return taken
		}
		for spin := taken % 512; spin > 0; spin-- {
			if spin%64 == 0 {
				runtime.Gosched()
			}
		}
	}
	return taken
}

// A ring in the middle of a message that nobody asked for loses nothing of it.
func TestRingInAMessage(t *testing.T) {
	var connections atomic.Int32
	say := make(chan struct{})
	n := fakeServer(t, func(conn net.Conn) {
		connections.Add(1)
		halting := &halting{Conn: conn}
		go func() {
			<-say
			halting.begin()
			say <- struct{}{}
		}()
		speaker{}.serve(halting)
	})
	f := openFleet(t, labSettings())
	lookUntil(t, f, n, answered)
	say <- struct{}{}
	<-say
	link := f.targets[n].connLoop
	for range 100 { // some rings before all of it is there
		done := make(chan struct{})
		link.post(func() { close(done) })
		<-done
	}
	for range 3 {
		if seen := lookAt(t, f, n); !answered(seen) || seen.Row == nil {
			t.Fatalf("%+v", seen)
		}
	}
	if connections.Load() != 1 || len(f.Dropped()) != 0 {
		t.Errorf("%d connections", connections.Load())
	}
}

// halting is a server's connection on which a notice can be begun that ends
// only when the server has something else to say.
type halting struct {
	net.Conn
	mu   sync.Mutex
	rest []byte
}

func (h *halting) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	notice := []byte{'N', 0, 0, 0, 12, 'M', 'h', 'e', 'l', 'l', 'o', 0, 0}
	h.Conn.Write(notice[:5]) // its head
	h.rest = notice[5:]
}

func (h *halting) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Conn.Write(h.rest)
	h.rest = nil
	return h.Conn.Write(p)
}

// A node costs one goroutine while nothing happens.
func TestIdleGoroutines(t *testing.T) {
	f := openFleet(t, labSettings())
	var nodes []cluster.Node
	for range 20 {
		nodes = append(nodes, fakeServer(t, speaker{}.serve))
	}
	for n, seen := range f.Look(t.Context(), nodes, nil) {
		if !answered(seen) {
			t.Fatalf("%v: %+v", n, seen)
		}
	}
	until(t, func() bool { return goroutinesOf("postgres.(*connLoop).idle") == len(nodes) }, func() {
		t.Log(goroutinesOf("postgres.(*connLoop).idle"), "are idle")
	})
	if got := goroutinesOf("postgres.(*connLoop)"); got != len(nodes) {
		t.Errorf("%d goroutines for %d idle nodes", got, len(nodes))
	}
}

// goroutinesOf counts the goroutines with a text in their stack.
func goroutinesOf(text string) int {
	buffer := make([]byte, 1<<22)
	buffer = buffer[:runtime.Stack(buffer, true)]
	count := 0
	for stack := range bytes.SplitSeq(buffer, []byte("\n\n")) {
		if bytes.Contains(stack, []byte(text)) {
			count++
		}
	}
	return count
}
