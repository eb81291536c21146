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
	looks := func(urgent func(cluster.Node) bool, more func(looks int) bool) int32 {
		before := connects.Load()
		for i := 0; more(i); i++ {
			<-time.After(5 * time.Millisecond)
			seen := f.Look(t.Context(), []cluster.Node{n}, urgent)[n]
			if !because(cluster.ReasonDisconnected)(seen) && seen.Reason != cluster.ReasonConnecting {
				t.Errorf("%+v", seen)
			}
		}
		return connects.Load() - before
	}
	twenty := func(looks int) bool { return looks < 20 }
	// On a busy machine a connect may span two looks.
	if got := looks(nil, twenty); got < 10 {
		t.Errorf("urgent: %d connects", got)
	}
	end := time.Now().Add(2500 * time.Millisecond)
	if got := looks(patient, func(int) bool { return time.Now().Before(end) }); got < 2 || got > 6 {
		t.Errorf("patient: %d connects", got)
	}
	if got := looks(nil, twenty); got < 10 {
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
	link := f.targets[n].connLoop
	// Its pause is now beyond what this test waits for.
	link.post(func() { link.backoff.setbacks = 30; link.setBack() })
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

// A node that is well again, but whose answer is to the look before, is asked
// again by the same look.
func TestAnswerToTheLookBefore(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	connect, asks, answer := make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow := speaker{before: func(_ net.Conn, sql string) bool {
		if sql == "SELECT pg_is_in_recovery()" && asked.Add(1) == 1 {
			close(asks)
			<-answer
		}
		return true
	}}
	n := fakeServer(t, func(conn net.Conn) {
		<-connect
		slow.serve(conn)
	})
	f := openFleet(t, with(func(s *Settings) { s.QueryTimeout = 500 * time.Millisecond }))
	if seen := lookAt(t, f, n); seen.Outcome != cluster.Connecting {
		t.Fatalf("%+v", seen)
	}
	close(connect)
	<-asks
	time.AfterFunc(10*time.Millisecond, func() { close(answer) })
	if seen := lookAt(t, f, n); !answered(seen) || asked.Load() != 2 {
		t.Errorf("asked %d times: %+v", asked.Load(), seen)
	}
}

// A server that was away for a moment has a connection again by the next look, if
// it is urgent, though to make it takes longer than that look would wait.
func TestBackBetweenLooks(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	back := make(chan struct{}, 1)
	n := fakeServer(t, func(conn net.Conn) {
		if !up.Load() {
			return
		}
		<-time.After(4 * grace) // a handshake over a long way
		speaker{before: func(_ net.Conn, sql string) bool {
			if sql == rowSQL {
				select {
				case back <- struct{}{}:
				default:
				}
			}
			return true
		}}.serve(conn)
	})
	f := openFleet(t, with(func(s *Settings) { s.Heartbeat = time.Second }))
	if seen := lookAt(t, f, n); seen.Outcome != cluster.Failed {
		t.Fatalf("%+v", seen)
	}
	up.Store(true)
	select {
	case <-back:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody tried again")
	}
	if seen := lookAt(t, f, n); !answered(seen) {
		t.Errorf("%+v", seen)
	}
}

// Hundreds of dead hosts that are looked at patiently keep no slot from an
// urgent node, and the time that they use up takes nobody's answer away.
func TestDeadHostsHoldUpNobody(t *testing.T) {
	t.Parallel()
	var patients atomic.Int32
	dead := everywhere(t, func(conn net.Conn) { patients.Add(1); silence(conn) })
	alive := everywhere(t, speaker{}.serve)
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
	if got := patients.Load(); got < connectsAtFirst/2 {
		t.Errorf("only %d patient connects", got)
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
