package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/fleet"
	"plusmoin/internal/pglab"
)

// busyVar makes the test binary a process that is busy and nothing else.
const busyVar = "PLUSMOIN_BENCH_BUSY"

const (
	stormNodes = 1001
	stormLoad  = 8
	stormLimit = time.Minute
)

// BenchmarkStorm measures how long it takes until all of a thousand names of one
// server are connected, with two seconds for each connect, beside processes that
// keep the machine busy; and whether the number connected ever falls meanwhile.
// It prints the curve.
func BenchmarkStorm(b *testing.B) {
	b.Run("real", func(b *testing.B) {
		lab := pglab.New(b, pglab.AllLoopback(), pglab.Conf("max_connections", "1100"))
		servers, err := lab.Cluster(b.Context(), "m", "s")
		must(b, err)
		prime(b, nodeOf(servers[0]))
		nodes := []cluster.Node{nodeOf(servers[0])}
		for i := range stormNodes - 1 {
			nodes = append(nodes, cluster.Node{Host: fleet.Host(i), Port: servers[1].Port()})
		}
		storm(b, nodes)
	})
	b.Run("fake", func(b *testing.B) {
		f := startFleet(b, stormNodes, stormNodes-1)
		var nodes []cluster.Node
		for i := range stormNodes {
			nodes = append(nodes, cluster.Node{Host: fleet.Host(i), Port: f.Port()})
		}
		storm(b, nodes)
	})
}

func storm(b *testing.B, nodes []cluster.Node) {
	b.Helper()
	for range stormLoad {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), busyVar+"=1")
		launch(b, cmd)
	}
	load(b, "before")
	p := watch(b, nodes, options{"heartbeat": 1, "connect_timeout": 2})
	until(b, stormLimit, "no first round", func() bool { return p.head().number > 0 })
	var curve []string
	most, falls := 0, 0
	for most < len(nodes) {
		if time.Since(p.started) > stormLimit {
			b.Errorf("after %v %d of %d nodes are connected", stormLimit, most, len(nodes))
			break
		}
		p.next(stormLimit)
		now := p.connected()
		curve = append(curve, fmt.Sprintf("%.1fs:%d", time.Since(p.started).Seconds(), now))
		if now < most {
			falls++
		}
		most = max(most, now)
	}
	b.Log("connected ", strings.Join(curve, " "))
	load(b, "after")
	b.ReportMetric(time.Since(p.started).Seconds(), "all-connected-s")
	b.ReportMetric(stormLimit.Seconds(), "limit-s")
	b.ReportMetric(float64(falls), "falls")
}

// connected counts the nodes that answered the last look.
func (p *plusmoin) connected() int {
	count := 0
	for _, n := range p.status().Nodes {
		if n.LatencyMS != nil {
			count++
		}
	}
	return count
}
