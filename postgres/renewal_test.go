package postgres

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"plusmoin/cluster"
)

// Connections are renewed at different times, each made before the old one is
// closed, and looks notice nothing.
func TestRenewal(t *testing.T) {
	t.Parallel()
	const count, lifetime = 40, 600 * time.Millisecond
	var mu sync.Mutex
	var renewed []time.Duration // since the first connection to that node
	var over bool               // from then on connections end in any order
	var nodes []cluster.Node
	for range count {
		var open int
		var first time.Time
		nodes = append(nodes, fakeServer(t, func(conn net.Conn) {
			mu.Lock()
			open++
			switch {
			case first.IsZero():
				first = time.Now()
			case over:
			case open != 2:
				t.Errorf("%d connections while one is renewed", open)
			default:
				renewed = append(renewed, time.Since(first))
			}
			mu.Unlock()
			speaker{}.serve(conn)
			mu.Lock()
			open--
			mu.Unlock()
		}))
	}
	f := openFleet(t, with(func(s *Settings) { s.ConnectionLifetime = lifetime }))
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(renewed) >= 2*count
	}
	until(t, func() bool {
		for n, seen := range f.Look(t.Context(), nodes, nil) {
			if !answered(seen) || seen.Reason != "" {
				t.Fatalf("%v: %+v", n, seen)
			}
		}
		return enough()
	}, func() {})
	if len(f.Dropped()) != 0 {
		t.Error("a renewal was told as a drop")
	}
	mu.Lock()
	defer mu.Unlock()
	over = true
	early, late := slices.Min(renewed[:count]), slices.Max(renewed[:count])
	if early < lifetime/3 || late-early < lifetime/6 {
		t.Errorf("renewed between %v and %v", early, late)
	}
}
