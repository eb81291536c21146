package postgres

import (
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plusmoin/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quick(s *Settings) {
	s.QueryTimeout, s.ConnectTimeout = 600*time.Millisecond, 800*time.Millisecond
}

// flood sends a message without end.
func flood(conn net.Conn) {
	header := binary.BigEndian.AppendUint32([]byte{'D'}, 100<<20)
	conn.Write(header)
	for chunk := make([]byte, 1<<20); ; {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

func TestHostileServers(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  cluster.Reason
	}{
		{"accepts and is silent", silence, cluster.ReasonTimeout},
		{"closes at once", func(net.Conn) {}, cluster.ReasonDisconnected},
		{"speaks something else", func(conn net.Conn) {
			conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			silence(conn)
		}, cluster.ReasonBadAnswer},
		{"has no end of a message", flood, cluster.ReasonBadAnswer},
		{"has a row without end", speaker{func(conn net.Conn, sql string) bool {
			if sql == rowSQL {
				flood(conn)
			}
			return sql != rowSQL
		}}.serve, cluster.ReasonBadAnswer},
		{"closes at the row", speaker{func(_ net.Conn, sql string) bool { return sql != rowSQL }}.serve, cluster.ReasonDisconnected},
		{"is silent at the row", speaker{func(conn net.Conn, sql string) bool {
			if sql == rowSQL {
				silence(conn)
			}
			return sql != rowSQL
		}}.serve, cluster.ReasonTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad, good := fakeServer(t, c.serve), fakeServer(t, speaker{}.serve)
			f := openFleet(t, with(quick))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var last map[cluster.Node]cluster.Sighting
			until(t, func() bool {
				began := time.Now()
				seen := f.Look(t.Context(), []cluster.Node{bad, good}, nil)
				if took := time.Since(began); took > 900*time.Millisecond {
					t.Errorf("a look took %v", took)
				}
				last = seen
				return because(c.want)(seen[bad]) && answered(seen[good])
			}, func() { t.Logf("last seen: %+v", last) })
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 50<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// A server that does not even finish the handshake is connected to once at a
// time, and waited for in its first look only.
func TestConnectSpansRounds(t *testing.T) {
	var now, most atomic.Int32
	bad := fakeServer(t, func(conn net.Conn) {
		most.Store(max(most.Load(), now.Add(1)))
		silence(conn)
		now.Add(-1)
	})
	f := openFleet(t, with(func(s *Settings) { s.QueryTimeout, s.ConnectTimeout = 200*time.Millisecond, 700*time.Millisecond }))
	began := time.Now()
	seen := lookAt(t, f, bad)
	if took := time.Since(began); seen.Outcome != cluster.Connecting || seen.Reason != cluster.ReasonConnecting || took < 190*time.Millisecond {
		t.Fatalf("first look took %v: %+v", took, seen)
	}
	began = time.Now()
	if seen = lookAt(t, f, bad); seen.Outcome != cluster.Connecting || time.Since(began) > 100*time.Millisecond {
		t.Fatalf("second look took %v: %+v", time.Since(began), seen)
	}
	// The connect ends between two looks: the next one begins another and
	// still knows why.
	seen = lookUntil(t, f, bad, func(s cluster.Sighting) bool { return s.Reason == cluster.ReasonTimeout })
	if !strings.Contains(seen.Error, "700ms") || most.Load() != 1 {
		t.Fatalf("%d connects at once, %+v", most.Load(), seen)
	}
}

// A node that comes to answer again is waited for in the look after that.
func TestLateAnswer(t *testing.T) {
	var frozen atomic.Bool
	thawed := make(chan struct{})
	slow := fakeServer(t, speaker{func(conn net.Conn, sql string) bool {
		if sql == rowSQL && frozen.Load() {
			<-thawed
		}
		return true
	}}.serve)
	f := openFleet(t, with(quick))
	thaw := sync.OnceFunc(func() { close(thawed) })
	t.Cleanup(thaw)
	if seen := lookAt(t, f, slow); !answered(seen) || seen.Row.Stamp != 5_000_006 {
		t.Fatalf("at first: %+v", seen)
	}
	frozen.Store(true)
	if seen := lookAt(t, f, slow); seen.Outcome != cluster.Failed || seen.Reason != cluster.ReasonTimeout {
		t.Fatalf("frozen: %+v", seen)
	}
	// Not waited for, and so not in this round.
	if seen := lookAt(t, f, slow); seen.Outcome != cluster.Connecting || seen.Reason != cluster.ReasonTimeout {
		t.Fatalf("failing: %+v", seen)
	}
	frozen.Store(false)
	thaw()
	s := f.targets[slow]
	until(t, func() bool { return len(s.answers) == 1 }, func() {})
	if seen := lookAt(t, f, slow); !answered(seen) {
		t.Fatalf("after the late answer: %+v", seen)
	}
}

func TestSlowFacts(t *testing.T) {
	var asked atomic.Int32
	n := fakeServer(t, speaker{func(conn net.Conn, sql string) bool {
		if sql != factsSQL(15) {
			return true
		}
		asked.Add(1)
		silence(conn)
		return false
	}}.serve)
	f := openFleet(t, with(quick))
	for range 3 {
		if seen := lookAt(t, f, n); !answered(seen) || seen.Facts.LSN != 0 {
			t.Fatalf("%+v", seen)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("facts were asked for %d times", asked.Load())
	}
}

func TestCancelledLook(t *testing.T) {
	n := fakeServer(t, silence)
	f := openFleet(t, labSettings())
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	seen := f.Look(ctx, []cluster.Node{n}, nil)
	if time.Since(began) > time.Second || seen[n].Outcome != cluster.Connecting {
		t.Fatalf("took %v: %+v", time.Since(began), seen)
	}
	if f.targets[n].failing {
		t.Error("a cancelled round says nothing of the node")
	}
}

func TestRemovedNodeIsLeft(t *testing.T) {
	gone := make(chan struct{}, 1)
	n := fakeServer(t, func(conn net.Conn) {
		speaker{}.serve(conn)
		gone <- struct{}{}
	})
	f := openFleet(t, labSettings())
	lookAt(t, f, n)
	if seen := f.Look(t.Context(), nil, nil); len(seen) != 0 {
		t.Errorf("%v", seen)
	}
	<-gone
	select {
	case <-f.Dropped():
		t.Error("what we close did not drop")
	default:
	}
}
