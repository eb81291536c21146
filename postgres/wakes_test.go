package postgres

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
)

func TestWakes(t *testing.T) {
	var w wakes
	now := time.Now()
	woke := func() int {
		count := 0
		for range 3600 {
			now = now.Add(time.Second)
			if w.drop(now) {
				count++
			}
			w.well()
		}
		return count
	}
	// 1, 2, 4 ... 512 and then 600 seconds apart.
	if got := woke(); got != wakesFree+10+4 {
		t.Errorf("a node that drops every second woke %d times in an hour", got)
	}
	if w.warning(now).reason != cluster.ReasonDisconnected {
		t.Error("nothing is said of that")
	}
	now = now.Add(longestPause + quietRestores)
	if !w.drop(now) || w.inVain != 0 || w.warning(now) != (fault{}) {
		t.Errorf("not forgotten: %+v", w)
	}
}

// A server that drops every connection after a look sets the pace for a moment
// only, and is warned of.
func TestBadProxyLosesItsRightToWake(t *testing.T) {
	t.Parallel()
	var rude atomic.Bool
	rude.Store(true)
	n := fakeServer(t, func(conn net.Conn) {
		speaker{func(_ net.Conn, sql string) bool { return sql != factsSQL(15) || !rude.Load() || waitAndEnd(conn) }}.serve(conn)
	})
	f := openFleet(t, labSettings())
	until(t, func() bool {
		seen := lookAt(t, f, n)
		return answered(seen) && seen.Reason == cluster.ReasonDisconnected
	}, func() {})
}

// waitAndEnd ends a connection a moment later.
func waitAndEnd(conn net.Conn) bool {
	time.AfterFunc(10*time.Millisecond, func() { conn.Close() })
	return true
}
