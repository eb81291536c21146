package postgres

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"plusmoin/cluster"
)

// diary is a log that can be read while it is written.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// breaking is a fleet of two nodes that writes a diary.
func breaking(t *testing.T) (*Fleet, *diary, [2]cluster.Node) {
	t.Helper()
	d := &diary{}
	f, err := Open(labSettings(), slog.New(slog.NewTextHandler(d, nil)))
	must(t, err)
	t.Cleanup(f.Close)
	return f, d, [2]cluster.Node{fakeServer(t, speaker{}.serve), fakeServer(t, speaker{}.serve)}
}

// broke shows that one look at one node of the two failed and nothing else did.
func broke(t *testing.T, f *Fleet, d *diary, nodes [2]cluster.Node, seen map[cluster.Node]cluster.Sighting) {
	t.Helper()
	bad := seen[nodes[0]]
	if bad.Outcome != cluster.Failed || bad.Reason != cluster.ReasonBadAnswer || !strings.HasPrefix(bad.Error, "internal error: boom") {
		t.Errorf("%+v", bad)
	}
	if !answered(seen[nodes[1]]) {
		t.Errorf("another node suffers: %+v", seen[nodes[1]])
	}
	if log := d.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "panic_test.go") {
		t.Errorf("log: %s", log)
	}
	until(t, func() bool { return answered(f.Look(t.Context(), nodes[:], nil)[nodes[0]]) }, func() {})
}

// A panic while a server is asked costs that node one look and its connection.
func TestPanicInALook(t *testing.T) {
	t.Parallel()
	f, d, nodes := breaking(t)
	until(t, func() bool { return answered(f.Look(t.Context(), nodes[:], nil)[nodes[0]]) }, func() {})
	loop := f.targets[nodes[0]].connLoop
	taken := make(chan struct{})
	loop.post(func() {
		close(taken)
		loop.session.facts.ask(nil) // what decodes it cannot do without
	})
	<-taken
	select { // nobody waited for that, and the monitor is to look at once
	case <-f.Dropped():
	case <-t.Context().Done():
	}
	done := make(chan struct{})
	until(t, func() bool { return answered(f.Look(t.Context(), nodes[:], nil)[nodes[0]]) }, func() {})
	loop.post(func() {
		loop.session.ctx = nil // the next exchange breaks
		close(done)
	})
	<-done
	seen := f.Look(t.Context(), nodes[:], nil)[nodes[0]]
	if seen.Outcome != cluster.Failed || seen.Reason != cluster.ReasonBadAnswer || !strings.HasPrefix(seen.Error, "internal error: ") {
		t.Errorf("%+v", seen)
	}
	if n := strings.Count(d.String(), "level=ERROR"); n < 1 {
		t.Errorf("log: %s", d)
	}
	until(t, func() bool { return answered(f.Look(t.Context(), nodes[:], nil)[nodes[0]]) }, func() {})
}

// So does one while a connection is made, and its slot is given back.
func TestPanicInAConnect(t *testing.T) {
	t.Parallel()
	f, d, nodes := breaking(t)
	var tried atomic.Bool
	f.common.establish = func(ctx, life context.Context, s Settings, n cluster.Node, w *way) (*session, error) {
		if n == nodes[0] && tried.CompareAndSwap(false, true) {
			panic("boom")
		}
		return establish(ctx, life, s, n, w)
	}
	broke(t, f, d, nodes, f.Look(t.Context(), nodes[:], nil))
	if f.common.slots.all.count != 0 {
		t.Error("its slot is not given back")
	}
}

// A panic while a beat is sent leaves open what became of it.
func TestPanicInABeat(t *testing.T) {
	t.Parallel()
	f, _, nodes := breaking(t)
	until(t, func() bool { return answered(f.Look(t.Context(), nodes[:], nil)[nodes[0]]) }, func() {})
	loop := f.targets[nodes[0]].connLoop
	done := make(chan struct{})
	loop.post(func() { loop.session.ctx = nil; close(done) })
	<-done
	sent := sendBeat(t, f, beatOf(1, nodes[0], 1))
	if sent.Verdict != cluster.Unknown || sent.Reason != cluster.ReasonBadAnswer || !strings.HasPrefix(sent.Error, "internal error: ") {
		t.Errorf("%+v", sent)
	}
	until(t, func() bool { return answered(f.Look(t.Context(), nodes[:], nil)[nodes[0]]) }, func() {})
}
