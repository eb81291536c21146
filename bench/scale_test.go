package bench

import (
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/fleet"
	"plusmoin/internal/pglab"
)

const rounds = 20

// BenchmarkThousand measures the rounds on a master and a thousand names of
// its slave, turn by turn with those of a bare loop on the same servers, and
// the memory beside that of a plusmoin without nodes.
func BenchmarkThousand(b *testing.B) {
	const names = 1000
	lab := pglab.New(b, pglab.AllLoopback(), pglab.Trust(), pglab.Conf("max_connections", "2200"))
	servers, err := lab.Cluster(b.Context(), "m", "s")
	must(b, err)
	nodes := []cluster.Node{nodeOf(servers[0])}
	for i := range names {
		nodes = append(nodes, cluster.Node{Host: fleet.Host(i), Port: servers[1].Port()})
	}
	prime(b, nodes[0])
	empty := watch(b, nil, options{"heartbeat": 1})
	p := watch(b, nodes, options{"heartbeat": 2})
	p.settled(time.Minute)
	floor := bare(b, nodes, 0)
	compare(b, p, floor)
	b.ReportMetric((p.memory()-empty.memory())/names, "KiB/node")
}

// compare measures rounds of plusmoin and, in between, of a bare loop.
func compare(b *testing.B, p *plusmoin, floor *floor) {
	b.Helper()
	for range 3 { // warm
		p.next(time.Minute)
		floor.round()
	}
	load(b, "before")
	var ours, bares samples
	for range rounds {
		ours = append(ours, p.next(time.Minute))
		<-time.After(300 * time.Millisecond) // let it tell what it saw
		bares = append(bares, floor.round())
	}
	load(b, "after")
	ours.report(b, "round")
	bares.report(b, "bare")
	b.ReportMetric(float64(ours.median())/float64(bares.median()), "ratio")
	b.ReportMetric(p.memory()/1024, "MiB")
	b.ReportMetric(floor.memory()/1024, "bare-MiB")
}

// BenchmarkTenThousand measures ten thousand nodes of a fake fleet: how long
// the start takes, the rounds, the memory, and the rounds while a thousand of
// the nodes hang. The floor is a bare loop on the same nodes just before, since
// no process may have connections for both at once.
func BenchmarkTenThousand(b *testing.B) {
	const all, each, hanging = 10_000, 3, 1_000
	f := startFleet(b, all, each-1)
	var nodes []cluster.Node
	var masters []int
	for i := range all {
		nodes = append(nodes, cluster.Node{Host: fleet.Host(i), Port: f.Port()})
		if i%each == 0 {
			masters = append(masters, i)
		}
	}
	load(b, "before")
	bareRounds, bareMemory := floorOf(b, nodes, masters)
	empty := watch(b, nil, options{"heartbeat": 1})

	p := watch(b, nodes, options{"heartbeat": 5})
	b.ReportMetric(p.settled(2*time.Minute).Seconds(), "start-s")
	healthy := p.rounds(10)
	memory, none := p.memory(), empty.memory()

	_, err := f.Do("hang 0-332", "hang 333.0")
	must(b, err)
	for range 2 { // the first has to wait for those that no longer answer
		p.next(time.Minute)
	}
	until(b, time.Minute, "not all who hang are lost", func() bool {
		return census(p.status())[cluster.Lost] == hanging
	})
	hung := p.rounds(10)
	places := census(p.status())
	if places[cluster.Lost] != hanging || places[cluster.Clusterless] != 0 {
		b.Errorf("%d nodes hang, places are %v", hanging, places)
	}
	load(b, "after")
	bareRounds.report(b, "bare")
	healthy.report(b, "round")
	hung.report(b, "round-1000-hang")
	b.ReportMetric(memory/1024, "MiB")
	b.ReportMetric(p.memory()/1024, "MiB-1000-hang")
	b.ReportMetric(bareMemory/1024, "bare-MiB")
	b.ReportMetric((memory-none)/all, "KiB/node")
}

// floorOf measures a bare loop that is gone afterwards.
func floorOf(b *testing.B, nodes []cluster.Node, masters []int) (samples, float64) {
	b.Helper()
	floor := bare(b, nodes, masters...)
	defer floor.end()
	var bares samples
	for range 10 {
		<-time.After(time.Second)
		bares = append(bares, floor.round())
	}
	return bares, floor.memory()
}

// rounds returns how long the next n rounds took.
func (p *plusmoin) rounds(n int) samples {
	p.Helper()
	var took samples
	for range n {
		took = append(took, p.next(time.Minute))
	}
	return took
}

// startFleet starts a fleet in a process of its own.
func startFleet(b *testing.B, nodes, slaves int) *fleet.Process {
	b.Helper()
	f, err := fleet.Launch(build(b, "internal/fleet/cmd/fakefleet"), nodes, slaves)
	must(b, err)
	b.Cleanup(func() { must(b, f.Close()) })
	return f
}
