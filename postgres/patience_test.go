package postgres

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
)

func patient(cluster.Node) bool { return false }

// A node that stays down is connected to at every look while it is urgent, and
// ever less often, but often enough, while it is not.
func TestPatience(t *testing.T) {
	t.Parallel()
	var connects atomic.Int32
	n := fakeServer(t, func(net.Conn) { connects.Add(1) }) // which closes at once
	f := openFleet(t, with(func(s *Settings) { s.Heartbeat = time.Second }))
	looks := func(urgent func(cluster.Node) bool, during time.Duration) int32 {
		before := connects.Load()
		for end := time.Now().Add(during); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
			seen := f.Look(t.Context(), []cluster.Node{n}, urgent)[n]
			if !because(cluster.ReasonDisconnected)(seen) && seen.Reason != cluster.ReasonConnecting {
				t.Errorf("%+v", seen)
			}
		}
		return connects.Load() - before
	}
	// Two connects at a time: the first of them meets a kept one that is dead.
	if got := looks(nil, 300*time.Millisecond); got < 10 {
		t.Errorf("urgent: %d connects", got)
	}
	if got := looks(patient, 2500*time.Millisecond); got < 2 || got > 6 {
		t.Errorf("patient: %d connects", got)
	}
	if got := looks(nil, 200*time.Millisecond); got < 5 {
		t.Errorf("urgent again: %d connects", got)
	}
}

// A look that waits for a connect which is put off becomes urgent; and a node
// that comes back is found without that.
func TestHurry(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	n := fakeServer(t, func(conn net.Conn) {
		if up.Load() {
			speaker{}.serve(conn)
		}
	})
	f := openFleet(t, with(func(s *Settings) { s.Heartbeat = time.Hour }))
	nodes := []cluster.Node{n}
	f.Look(t.Context(), nodes, nil)
	link := f.ships[n].link
	// Its pause is now beyond what this test waits for.
	link.post(func() { link.setbacks = 30; link.setBack() })
	f.Look(t.Context(), nodes, patient)
	up.Store(true)
	for range 20 {
		if seen := f.Look(t.Context(), nodes, patient)[n]; answered(seen) {
			t.Fatalf("%+v", seen)
		}
		<-time.After(time.Millisecond)
	}
	began := time.Now()
	lookUntil(t, f, n, answered)
	if took := time.Since(began); took > time.Second {
		t.Errorf("urgent and found after %v", took)
	}

	up.Store(false)
	other := openFleet(t, with(func(s *Settings) { s.Heartbeat = 300 * time.Millisecond }))
	other.Look(t.Context(), nodes, nil)
	up.Store(true)
	until(t, func() bool { return answered(other.Look(t.Context(), nodes, patient)[n]) }, func() {})
}

// Hundreds of dead hosts that are looked at patiently keep no slot from an
// urgent node, and the time that they use up takes nobody's answer away.
func TestDeadHostsHoldUpNobody(t *testing.T) {
	t.Parallel()
	dead, alive := everywhere(t, silence), everywhere(t, speaker{}.serve)
	var nodes []cluster.Node
	for i := range 250 {
		nodes = append(nodes, cluster.Node{Host: fmt.Sprintf("127.0.4.%d", i+1), Port: dead})
	}
	for i := range 20 {
		nodes = append(nodes, cluster.Node{Host: fmt.Sprintf("127.0.4.%d", i+1), Port: alive})
	}
	f := openFleet(t, with(func(s *Settings) { s.QueryTimeout = 500 * time.Millisecond }))
	seen := f.Look(t.Context(), nodes, func(n cluster.Node) bool { return n.Port == alive })
	for n, s := range seen {
		if answered(s) != (n.Port == alive) {
			t.Errorf("%v: %+v", n, s)
		}
	}
	if now := len(f.pool.patient); now != cap(f.pool.patient) {
		t.Errorf("only %d patient connects", now)
	}
}

func TestBackOff(t *testing.T) {
	for _, c := range []struct {
		setbacks        int
		heartbeat, want time.Duration
	}{
		{1, 0, 0}, {9, 0, 0},
		{1, 100 * time.Millisecond, 100 * time.Millisecond},
		{1, time.Minute, firstPause}, {2, time.Minute, 2 * firstPause}, {4, time.Minute, 8 * firstPause},
		{9, time.Minute, time.Minute}, {1 << 40, 24 * time.Hour, 24 * time.Hour},
	} {
		if got := backOff(c.setbacks, c.heartbeat); got != c.want {
			t.Errorf("%d setbacks, heartbeat %v: %v, want %v", c.setbacks, c.heartbeat, got, c.want)
		}
	}
	first, different := spread(time.Hour), false
	for range 100 {
		d := spread(time.Hour)
		if d < time.Hour/2 || d > time.Hour {
			t.Errorf("%v", d)
		}
		different = different || d != first
	}
	if !different {
		t.Error("all fall due together")
	}
}
