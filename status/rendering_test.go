package status

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"plusmoin/cluster"
)

// A rendering writes what encode does, whatever changed since the last document.
func TestRendering(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var r rendering
	d := sample()
	for i := range 2000 {
		d = change(random, d)
		var want, got bytes.Buffer
		if err := d.encode(&want); err != nil {
			t.Fatal(err)
		}
		if err := r.encode(&got, d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("document %d is\n%s, want\n%s", i, got.Bytes(), want.Bytes())
		}
	}
}

// change returns a document that differs from d in what rounds change, and now
// and then in something else.
func change(random *rand.Rand, d Document) Document {
	d.Round.Number++
	d.Round.DurationMS = float64(random.IntN(1e6)) / 1e3
	d.UpdatedAt = d.UpdatedAt.Add(time.Duration(random.Int64N(1e9)))
	nodes := map[string]cluster.Detail{}
	for name, detail := range d.Nodes {
		nodes[name] = changeNode(random, detail)
	}
	switch random.IntN(12) {
	case 0:
		nodes[fmt.Sprintf("n\"<%d>", random.IntN(5))] = cluster.Detail{State: cluster.Lost}
	case 1:
		for name := range nodes {
			delete(nodes, name)
			break
		}
	case 2:
		d.Clusters = append([]cluster.Cluster{{ID: int(d.Round.Number), Name: `"nodes":{}, "round":{"number":0,"duration_ms":0}`}}, d.Clusters...)
		d.Clusters = d.Clusters[:min(len(d.Clusters), 3)]
	case 3:
		d.Version = fmt.Sprintf(`"updated_at":"0001-01-01T00:00:00Z"%d`, random.IntN(9))
	case 4:
		d.Warnings, d.Clusterless, d.Config.Error = nil, nil, nil
	case 5:
		d.State = Stopped
	}
	d.Nodes = nodes
	return d
}

func changeNode(random *rand.Rand, detail cluster.Detail) cluster.Detail {
	number := func(old *float64) *float64 {
		n := []float64{0, 1e-9, 1.5, 3e22, 1772366400.123456, random.Float64() * 100}[random.IntN(6)]
		if random.IntN(4) == 0 {
			return nil
		}
		if random.IntN(4) == 0 {
			return old
		}
		return &n
	}
	detail.Timestamp, detail.LatencyMS = number(detail.Timestamp), number(detail.LatencyMS)
	if random.IntN(5) == 0 {
		detail.Lag = number(detail.Lag)
		text := fmt.Sprintf(`"latency_ms":null"timestamp":null %d`, random.IntN(3))
		detail.Error, detail.Suspect = &text, !detail.Suspect
	}
	return detail
}

// What rounds change is not rendered, and nothing else is either.
func TestRenderingIsUsedAgain(t *testing.T) {
	var r rendering
	d := sample()
	name := "s<1>:5433"
	for i := range 3 {
		kept := r.parts
		detail, number := d.Nodes[name], float64(i)
		detail.Timestamp, detail.LatencyMS = &number, &number
		d.Nodes = map[string]cluster.Detail{name: detail}
		d.Round.Number, d.UpdatedAt = uint64(i), time.Unix(int64(i), 0)
		d.Snapshot.Round, d.Took, d.At = uint64(i), time.Duration(i), time.Unix(int64(i), 0)
		was := r.nodes[name].parts
		if err := r.encode(io.Discard, d); err != nil {
			t.Fatal(err)
		}
		if i > 0 && (&kept[0] != &r.parts[0] || &was[0] != &r.nodes[name].parts[0]) {
			t.Errorf("document %d is rendered anew", i)
		}
	}
}

// Many nodes are not kept.
func TestRenderingOfMany(t *testing.T) {
	var r rendering
	for _, n := range []int{3, renderedAtMost + 1, 3} {
		d := crowd(n, 1)
		var want, got bytes.Buffer
		if err := d.encode(&want); err != nil {
			t.Fatal(err)
		}
		if err := r.encode(&got, d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) || (len(r.nodes) > 0) != (n <= renderedAtMost) {
			t.Errorf("%d nodes, %d are kept", n, len(r.nodes))
		}
	}
}

func BenchmarkRendering(b *testing.B) {
	var r rendering
	for _, render := range []struct {
		name   string
		encode func(*bytes.Buffer, Document) error
	}{
		{"again", func(w *bytes.Buffer, d Document) error { return r.encode(w, d) }},
		{"anew", func(w *bytes.Buffer, d Document) error { return d.encode(w) }},
	} {
		b.Run(render.name, func(b *testing.B) {
			d := crowd(3, 1)
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				d.Round.Number++
				if err := render.encode(&out, d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
