package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// BenchmarkRound times a look at warm nodes beside a bare loop that sends the
// same statements over connections of the same kind, turn by turn in the same
// run. The nodes are one slave under many addresses.
func BenchmarkRound(b *testing.B) {
	lab := pglab.New(b, pglab.AllLoopback(), pglab.Trust(), pglab.Conf("max_connections", "300"))
	servers, err := lab.Cluster(b.Context(), "m", "s")
	must(b, err)
	for _, n := range []int{10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkRound(b, servers[1].Port(), n) })
	}
}

func benchmarkRound(b *testing.B, port, n int) {
	settings := labSettings()
	var nodes []cluster.Node
	for i := range n {
		nodes = append(nodes, cluster.Node{Host: fmt.Sprintf("127.0.1.%d", i+1), Port: port})
	}
	f := openFleet(b, settings)
	bare := bareSessions(b, settings, nodes)
	for range 10 {
		f.Look(b.Context(), nodes, nil)
		lookBare(b, bare)
	}
	var ours, floor time.Duration
	for b.Loop() {
		began := time.Now()
		seen := f.Look(b.Context(), nodes, nil)
		ours += time.Since(began)
		for n, s := range seen {
			if !answered(s) {
				b.Fatalf("%v: %+v", n, s)
			}
		}
		began = time.Now()
		lookBare(b, bare)
		floor += time.Since(began)
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "look-µs")
	b.ReportMetric(float64(floor.Microseconds())/float64(b.N), "bare-µs")
	b.ReportMetric(float64(ours)/float64(floor), "ratio")
}

func bareSessions(b *testing.B, settings Settings, nodes []cluster.Node) []*session {
	var all []*session
	for _, n := range nodes {
		s, err := connect(b.Context(), context.Background(), settings, n, newSlots())
		must(b, err)
		b.Cleanup(s.close)
		all = append(all, s)
	}
	return all
}

// lookBare sends the statements of a look on all sessions at once and reads the
// answers without a thought.
func lookBare(b *testing.B, all []*session) {
	var pending sync.WaitGroup
	for _, s := range all {
		pending.Go(func() {
			s.raw.SetDeadline(time.Now().Add(time.Second))
			if _, err := s.ask(&s.role, &s.row, &s.facts); err != nil {
				b.Error(err)
			}
		})
	}
	pending.Wait()
}
