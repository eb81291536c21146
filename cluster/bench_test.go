package cluster_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"plusmoin/cluster"
)

// BenchmarkRound is Observe and Settle in steady state, in clusters of three.
// "copies" is how many copies of a map with an entry a node the same time is
// worth; ns/node shows that a round is linear in the nodes.
func BenchmarkRound(b *testing.B) {
	for _, clusters := range []int{333, 3_333, 33_333} {
		b.Run(fmt.Sprintf("nodes=%d", clusters*3), func(b *testing.B) { benchmarkRound(b, clusters) })
	}
}

func benchmarkRound(b *testing.B, clusters int) {
	f := newFleet(clusters)
	for range 3 {
		f.look()
		f.round(b)
	}
	if f.state.Snapshot().Starting {
		b.Fatal("the start has not settled")
	}
	var rounds time.Duration
	for b.Loop() {
		f.look()
		began := time.Now()
		f.round(b)
		rounds += time.Since(began)
	}
	nodes := float64(len(f.seen))
	perRound := float64(rounds.Nanoseconds()) / float64(b.N)
	b.ReportMetric(perRound, "ns/round")
	b.ReportMetric(perRound/nodes, "ns/node")
	b.ReportMetric(perRound/f.copying(), "copies")
}

// fleet is many healthy clusters, without a world behind them.
type fleet struct {
	state   cluster.State
	elapsed time.Duration
	seen    map[cluster.Node]cluster.Sighting
	rows    map[cluster.Node]*cluster.Row // the row of each master
	master  map[cluster.Node]cluster.Node // of each node
}

func newFleet(clusters int) *fleet {
	f := &fleet{
		seen:   map[cluster.Node]cluster.Sighting{},
		rows:   map[cluster.Node]*cluster.Row{},
		master: map[cluster.Node]cluster.Node{},
	}
	config := cluster.Config{FailInterval: time.Second, MaxSyncDelay: 5 * time.Second}
	for c := range clusters {
		master := node(fmt.Sprintf("m%d", c))
		for i := range 3 {
			n := master
			if i > 0 {
				n = node(fmt.Sprintf("s%d-%d", c, i))
			}
			config.Nodes = append(config.Nodes, cluster.NodeConfig{
				Node: n, MaxSyncDelay: 5 * time.Second, RecoverSyncDelay: 2 * time.Second,
			})
			f.master[n] = master
			f.seen[n] = cluster.Sighting{
				Outcome: cluster.Answered, Slave: i > 0,
				Facts: cluster.Facts{
					SystemID: uint64(c + 1), Started: int64(3*c + i + 1), ServerPort: 5432, Timeline: 1,
				},
			}
		}
	}
	f.state = cluster.New(f.moment(), config)
	return f
}

func (f *fleet) moment() cluster.Moment {
	return cluster.Moment{Elapsed: f.elapsed, Wall: epoch.Add(f.elapsed)}
}

// look lets a second pass and every row arrive everywhere.
func (f *fleet) look() {
	f.elapsed += time.Second
	for n, s := range f.seen {
		s.Row = f.rows[f.master[n]]
		f.seen[n] = s
	}
}

func (f *fleet) round(tb testing.TB) {
	draft := f.state.Observe(f.moment(), f.seen)
	beats := draft.Beats()
	sent := make(map[cluster.Node]cluster.BeatOutcome, len(beats))
	for _, beat := range beats {
		sent[beat.Node] = cluster.BeatOutcome{Verdict: cluster.Confirmed}
		f.rows[beat.Node] = &beat.Row
	}
	var events []cluster.Event
	f.state, events = draft.Settle(f.moment(), sent)
	for _, e := range events {
		if e.Kind != cluster.PlusmoinUp {
			tb.Fatalf("%s was told in steady state", e.Kind)
		}
	}
}

// copying measures, in nanoseconds, copying a map with an entry a node.
func (f *fleet) copying() float64 {
	const times = 20
	began := time.Now()
	size := 0
	for range times {
		copied := make(map[cluster.Node]cluster.Node, len(f.master))
		maps.Copy(copied, f.master)
		size += len(copied)
	}
	if size != times*len(f.master) {
		panic("a copy is not whole")
	}
	return float64(time.Since(began).Nanoseconds()) / times
}
