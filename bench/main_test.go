package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// floorVar makes the test binary the bare loop.
const floorVar = "PLUSMOIN_BENCH_FLOOR"

func TestMain(m *testing.M) {
	if os.Getenv(floorVar) != "" {
		if err := serveFloor(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(busyVar) != "" {
		for { //nolint:staticcheck // this is what it is for
		}
	}
	os.Exit(m.Run())
}

// build returns the path of a program of this module, built for the benchmark.
func build(b *testing.B, name string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), filepath.Base(name))
	out, err := exec.Command("go", "build", "-o", path, "plusmoin/"+name).CombinedOutput()
	if err != nil {
		b.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

// plusmoinBinary returns what is to be measured.
func plusmoinBinary(b *testing.B) string {
	if path := os.Getenv("PLUSMOIN_BENCH_BINARY"); path != "" {
		return path
	}
	return build(b, "cmd/plusmoin")
}

// samples are durations of one kind.
type samples []time.Duration

func (s samples) at(share float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(share*float64(len(sorted)-1)+0.5)]
}

func (s samples) median() time.Duration { return s.at(0.5) }

// report prints minimum, median and maximum in milliseconds.
func (s samples) report(b *testing.B, name string) {
	b.Helper()
	for _, m := range []struct {
		word  string
		share float64
	}{{"min", 0}, {"med", 0.5}, {"max", 1}} {
		b.ReportMetric(millis(s.at(m.share)), name+"-"+m.word+"-ms")
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// load prints how busy the machine is, without which no figure can be judged.
func load(b *testing.B, when string) {
	b.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	must(b, err)
	b.Logf("load %s: %s", when, text)
}

// until polls good and gives up after limit.
func until(b *testing.B, limit time.Duration, what string, good func() bool) {
	b.Helper()
	for deadline := time.Now().Add(limit); !good(); {
		if time.Now().After(deadline) {
			b.Fatalf("waited %v in vain: %s", limit, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func marshal(b *testing.B, v any) []byte {
	b.Helper()
	text, err := json.Marshal(v)
	must(b, err)
	return text
}

func nodeOf(s *pglab.Server) cluster.Node { return cluster.Node{Host: s.Host(), Port: s.Port()} }

func nodesOf(servers []*pglab.Server) []cluster.Node {
	var nodes []cluster.Node
	for _, s := range servers {
		nodes = append(nodes, nodeOf(s))
	}
	return nodes
}
