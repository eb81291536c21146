package triggers

import (
	"log/slog"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"plusmoin/cluster"
)

// TestQueueKeepsItsPromises judges random histories by what is promised of
// them: nothing overtakes an earlier trigger of its cluster or its node, what
// may start does, the oldest first, and only heartbeats are replaced, in their
// place if nothing of their cluster came after them.
func TestQueueKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		var waits, runs []cluster.Event // in the order of their coming
		var id int64
		add := func(t *rapid.T) {
			id++
			e := cluster.Event{ID: id, Kind: cluster.SlaveDown, Cluster: rapid.IntRange(0, 3).Draw(t, "cluster")}
			if rapid.Bool().Draw(t, "beat") {
				e.Kind = cluster.PlusmoinHeartbeat
				waits = withBeat(waits, e)
			} else {
				if n := rapid.IntRange(0, 4).Draw(t, "node"); n > 0 {
					e.Node = &cluster.Entry{Host: "n", Port: n}
				}
				waits = append(waits, e)
			}
			q.add(e, nil)
		}
		running := map[int64]*trigger{}
		start := func(t *rapid.T) {
			got := q.next()
			for i, e := range waits {
				blocks := func(o cluster.Event) bool { return inOneLine(o, e) }
				if slices.ContainsFunc(waits[:i], blocks) || slices.ContainsFunc(runs, blocks) {
					continue
				}
				if got == nil || got.event.ID != e.ID {
					t.Fatalf("%d was to start, not %v", e.ID, got)
				}
				waits, runs = slices.Delete(waits, i, i+1), append(runs, e)
				running[e.ID] = got
				return
			}
			if got != nil {
				t.Fatalf("%d was not to start", got.event.ID)
			}
		}
		finish := func(t *rapid.T) {
			if len(runs) == 0 {
				return
			}
			i := rapid.IntRange(0, len(runs)-1).Draw(t, "which")
			q.finish(running[runs[i].ID])
			runs = slices.Delete(runs, i, i+1)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": add, "start": start, "finish": finish,
			"": func(t *rapid.T) {
				if q.waiting != len(waits) {
					t.Fatalf("%d wait, want %d", q.waiting, len(waits))
				}
			},
		})
		for len(waits)+len(runs) > 0 {
			start(t)
			finish(t)
		}
		if len(q.lines)+len(q.ready)+len(q.beats) > 0 {
			t.Fatalf("left behind: %+v", q)
		}
	})
}

// withBeat returns what waits when a heartbeat comes.
func withBeat(waits []cluster.Event, e cluster.Event) []cluster.Event {
	for i, w := range waits {
		if w.Kind != e.Kind || w.Cluster != e.Cluster {
			continue
		}
		if !slices.ContainsFunc(waits[i+1:], func(o cluster.Event) bool { return o.Cluster == e.Cluster }) {
			waits[i] = e
			return waits
		}
		waits = slices.Delete(waits, i, i+1)
		break
	}
	return append(waits, e)
}

func inOneLine(a, b cluster.Event) bool {
	return a.Cluster == b.Cluster || a.Node != nil && b.Node != nil && a.Node.Port == b.Node.Port
}

// TestHeartbeatsTakeTurns has more clusters than can be served between two
// heartbeats: each must have its turn all the same.
func TestHeartbeatsTakeTurns(t *testing.T) {
	q := newQueue()
	served := map[int]int{}
	for range 20 {
		for c := range 100 {
			q.add(cluster.Event{Kind: cluster.PlusmoinHeartbeat, Cluster: c}, nil)
		}
		for range 20 {
			next := q.next()
			served[next.event.Cluster]++
			q.finish(next)
		}
	}
	for c := range 100 {
		if served[c] == 0 {
			t.Errorf("cluster %d was never served", c)
		}
	}
}

// TestWaitingTriggersKeepLittle queues an event of one small cluster in each
// of many rounds of a large installation.
func TestWaitingTriggersKeepLittle(t *testing.T) {
	const rounds, nodes = 200, 2000
	q := newQueue()
	before := allocated()
	for i := range rounds {
		s := cluster.Snapshot{Nodes: map[string]cluster.Detail{}}
		for n := range nodes {
			entry := cluster.Entry{Host: "host", Port: n, ClusterID: n / 2}
			s.Nodes[cluster.Node{Host: "host", Port: n}.String()] = cluster.Detail{State: cluster.Slave}
			if n%2 == 0 {
				s.Clusters = append(s.Clusters, cluster.Cluster{ID: n / 2, Master: &entry})
			}
		}
		q.add(cluster.Event{Kind: cluster.SlaveDown, Cluster: 5, ID: int64(i)}, newRound(s).view(5))
	}
	if per := (allocated() - before) / rounds; per > 4<<10 {
		t.Errorf("a waiting trigger keeps %d bytes", per)
	}
	runtime.KeepAlive(q)
}

func allocated() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestParseStat(t *testing.T) {
	for stat, want := range map[string]struct {
		group int
		alive bool
	}{
		"12 (sh) S 1 77 77 0 -1":           {77, true},
		"12 (a) Z 1 2 (b)) R 1 78 78 0 -1": {78, true},
		"12 (sh) Z 1 77 77 0 -1":           {77, false},
		"12 (sh) S":                        {0, false},
		"":                                 {0, false},
	} {
		if group, alive := parseStat([]byte(stat)); group != want.group || alive != want.alive {
			t.Errorf("%q: %d, %v", stat, group, alive)
		}
	}
}

// BenchmarkHeard10000Nodes queues heartbeats of 3,333 clusters behind one
// that hangs, as every round does while a runner is outrun.
func BenchmarkHeard10000Nodes(b *testing.B) {
	s := cluster.Snapshot{Nodes: map[string]cluster.Detail{}}
	var events []cluster.Event
	for id := range 3333 {
		c := cluster.Cluster{ID: id}
		for port := range 3 {
			e := cluster.Entry{Host: "host", Port: 3*id + port, ClusterID: id}
			s.Nodes[cluster.Node{Host: e.Host, Port: e.Port}.String()] = cluster.Detail{State: cluster.Slave}
			c.Slaves = append(c.Slaves, e)
		}
		s.Clusters = append(s.Clusters, c)
		events = append(events, cluster.Event{Kind: cluster.PlusmoinHeartbeat, Cluster: id})
	}
	r := New(Settings{
		Commands: map[cluster.Kind][]string{cluster.PlusmoinHeartbeat: {"/bin/sleep", "1000"}}, Parallel: 1,
	}, slog.New(slog.DiscardHandler))
	defer r.Close(0)
	b.ReportAllocs()
	for b.Loop() {
		r.Heard(s, events)
	}
}
