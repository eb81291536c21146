package triggers

import (
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plusmoin/cluster"
)

// TestQueueKeepsItsPromises judges random histories by what is promised of
// them: nothing overtakes an earlier trigger of its cluster or its node in its
// lane, what may start does, a heartbeat waits for the changes of its cluster
// and holds up none, and only heartbeats are replaced.
func TestQueueKeepsItsPromises(t *testing.T) {
	const slots = 3
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		var waits, runs []*trigger // the model's, in the order of their coming
		var id int64
		add := func(t *rapid.T) {
			id++
			m := &trigger{lane: rapid.SampledFrom([]string{"", "a"}).Draw(t, "lane")}
			m.event = cluster.Event{ID: id, Kind: cluster.SlaveDown, Cluster: rapid.IntRange(0, 3).Draw(t, "cluster")}
			if rapid.Bool().Draw(t, "beat") {
				m.event.Kind = cluster.PlusmoinHeartbeat
				waits = slices.DeleteFunc(waits, func(o *trigger) bool { return o.beat() && o.home() == m.home() })
			} else if n := rapid.IntRange(0, 4).Draw(t, "node"); n > 0 {
				m.event.Node = &cluster.Entry{Host: "n", Port: n}
			}
			waits = append(waits, m)
			q.add(m.lane, m.event, nil, time.Time{})
		}
		running := map[int64]*trigger{}
		start := func(t *rapid.T) {
			got := q.next(slots)
			if got == nil {
				for i, m := range waits {
					if mayStart(m, waits[:i], waits, runs, slots) {
						t.Fatalf("%d was to start", m.event.ID)
					}
				}
				return
			}
			i := slices.IndexFunc(waits, func(m *trigger) bool { return m.event.ID == got.event.ID && m.lane == got.lane })
			if i < 0 || !mayStart(waits[i], waits[:i], waits, runs, slots) {
				t.Fatalf("%d was not to start", got.event.ID)
			}
			running[got.event.ID] = got
			runs, waits = append(runs, waits[i]), slices.Delete(waits, i, i+1)
		}
		finish := func(t *rapid.T) {
			if len(runs) > 0 {
				i := rapid.IntRange(0, len(runs)-1).Draw(t, "which")
				q.finish(running[runs[i].event.ID])
				runs = slices.Delete(runs, i, i+1)
			}
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
		if left := len(q.lines) + len(q.beats) + len(q.changes); left > 0 {
			t.Fatalf("left behind: %+v", q)
		}
	})
}

// mayStart says that m may, which came after earlier.
func mayStart(m *trigger, earlier, waits, runs []*trigger, slots int) bool {
	sort := func(o *trigger) bool { return o.lane == m.lane && o.beat() == m.beat() }
	n := 0
	for _, o := range runs {
		if sort(o) {
			n++
		}
	}
	blocks := func(o *trigger) bool {
		if o.event.Cluster == m.event.Cluster && m.beat() && !o.beat() {
			return m.lane == "" || o.lane == m.lane
		}
		return sort(o) && inOneLine(o.event, m.event)
	}
	if m.beat() {
		earlier = waits // the changes that came later too
		earlier = slices.DeleteFunc(slices.Clone(earlier), (*trigger).beat)
	}
	return n < slots && !slices.ContainsFunc(earlier, blocks) && !slices.ContainsFunc(runs, blocks)
}

func inOneLine(a, b cluster.Event) bool {
	return a.Cluster == b.Cluster || a.Node != nil && b.Node != nil && a.Node.Port == b.Node.Port
}

// TestClustersTakeTurns lets twenty clusters have a backlog of a thousand when
// another one has its first trigger: with two slots that is among the next
// eleven, whichever way round they end.
func TestClustersTakeTurns(t *testing.T) {
	q := newQueue()
	for i := range 1000 {
		for c := range 20 {
			q.add("", cluster.Event{Kind: cluster.SlaveDown, Cluster: c, ID: int64(i)}, nil, time.Time{})
		}
	}
	a, b := q.next(2), q.next(2)
	q.add("", cluster.Event{Kind: cluster.MasterDown, Cluster: 77}, nil, time.Time{})
	for range 21 {
		q.finish(a)
		a, b = b, q.next(2)
		if b.event.Cluster == 77 {
			return
		}
	}
	t.Error("the cluster was not served in its turn")
}

// TestALaneWithoutSlotsHoldsUpNoOther fills all slots of one lane.
func TestALaneWithoutSlotsHoldsUpNoOther(t *testing.T) {
	q := newQueue()
	for c := range 10 {
		q.add("slow", cluster.Event{Kind: cluster.SlaveDown, Cluster: c}, nil, time.Time{})
	}
	for range 3 {
		q.next(3)
	}
	if got := q.next(3); got != nil {
		t.Fatalf("%+v may start", got)
	}
	q.add("fast", cluster.Event{Kind: cluster.SlaveDown, Cluster: 9}, nil, time.Time{})
	if got := q.next(3); got == nil || got.lane != "fast" {
		t.Errorf("got %+v", got)
	}
}

// TestHeartbeatsTakeTurns has more clusters than can be served between two
// heartbeats: each must have its turn all the same.
func TestHeartbeatsTakeTurns(t *testing.T) {
	q := newQueue()
	served := map[int]int{}
	for range 20 {
		for c := range 100 {
			q.add("", cluster.Event{Kind: cluster.PlusmoinHeartbeat, Cluster: c}, nil, time.Time{})
		}
		for range 20 {
			next := q.next(16)
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
		q.add("", cluster.Event{Kind: cluster.SlaveDown, Cluster: 5, ID: int64(i)}, newRound(s).view(5), time.Time{})
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
	const rest = " 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99"
	for stat, want := range map[string]process{
		"12 (sh) S 1 77 77" + rest:           {parent: 1, group: 77, identity: identity{born: 4711}, name: "sh"},
		"12 (a) Z 1 2 (b)) R 1 78 78" + rest: {parent: 1, group: 78, identity: identity{born: 4711}, name: "a) Z 1 2 (b)"},
		"12 (sh) Z 1 77 77" + rest:           {parent: 1, group: 77, identity: identity{born: 4711}, name: "sh", zombie: true},
	} {
		if got, ok := parseStat([]byte(stat)); got != want || !ok {
			t.Errorf("%q: %+v, %v", stat, got, ok)
		}
	}
	for _, stat := range []string{"", "12 (sh) S", "12 (sh) S 1 77 77 0", "12 )sh( S 1 77 77" + rest, "12 (sh) S x 77 77" + rest} {
		if got, ok := parseStat([]byte(stat)); ok {
			t.Errorf("%q: %+v", stat, got)
		}
	}
}

func TestParseMark(t *testing.T) {
	const head = "Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              1829999999999999999  unlimited            seconds   \n"
	for limits, want := range map[string]mark{
		head + "Max realtime timeout      1830000000000000123  unlimited            us        \n": 1830000000000000123,
		head + "Max realtime timeout      unlimited            unlimited            us        \n": 0,
		head + "Max realtime timeout      200000               unlimited            us        \n": 0, // as an operator has it
		head + "Max realtime timeout\n": 0,
		head:                            0,
		"":                              0,
	} {
		if got := parseMark([]byte(limits)); got != want {
			t.Errorf("%q: %d, want %d", limits, got, want)
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
		Commands: map[cluster.Kind]map[string][]string{cluster.PlusmoinHeartbeat: {"": {"/bin/sleep", "1000"}}}, Parallel: 1,
	}, slog.New(slog.DiscardHandler))
	defer r.Close(0)
	b.ReportAllocs()
	for b.Loop() {
		r.Heard(s, events)
	}
}
