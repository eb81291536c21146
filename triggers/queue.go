package triggers

import (
	"container/heap"

	"plusmoin/cluster"
)

// trigger is one run of a command, to come or under way.
type trigger struct {
	event cluster.Event
	view  *view
	// age orders those that may start: the lowest goes first.
	age uint64
	// ahead is in how many of its lines another trigger stands before it.
	ahead int
	// replaced says that a newer heartbeat runs instead.
	replaced bool
}

// line names triggers that must run one after the other: those of a cluster,
// or those about a node, whose cluster is NoCluster.
type line struct {
	cluster int
	node    cluster.Node
}

func (t *trigger) lines() []line {
	lines := []line{{cluster: t.event.Cluster}}
	if n := t.event.Node; n != nil {
		lines = append(lines, line{cluster.NoCluster, cluster.Node{Host: n.Host, Port: n.Port}})
	}
	return lines
}

// queue decides which trigger may start next. It holds those that wait and
// those that next has handed out, until they are finished. A trigger may start
// when it is the first in all its lines. Everything costs at most the
// logarithm of the number of triggers held.
type queue struct {
	lines    map[line][]*trigger
	ready    byAge            // first in all their lines, not handed out
	beats    map[int]*trigger // the heartbeat that waits, by cluster
	age      uint64           // of the last trigger that was added
	waiting  int              // not handed out, not replaced
	replaced uint64           // heartbeats that a newer one replaced
}

func newQueue() queue {
	return queue{lines: map[line][]*trigger{}, beats: map[int]*trigger{}}
}

// add puts a trigger at the end of its lines. A heartbeat of the same cluster
// that still waits is replaced: in its place, so that every cluster has its
// turn even where heartbeats outrun their commands, unless something came
// after it, since a heartbeat runs after what happened before it.
func (q *queue) add(e cluster.Event, v *view) {
	if e.Kind == cluster.PlusmoinHeartbeat && q.replace(e, v) {
		return
	}
	q.age++
	t := &trigger{event: e, view: v, age: q.age}
	if e.Kind == cluster.PlusmoinHeartbeat {
		q.beats[e.Cluster] = t
	}
	q.waiting++
	for _, l := range t.lines() {
		if len(q.lines[l]) > 0 {
			t.ahead++
		}
		q.lines[l] = append(q.lines[l], t)
	}
	if t.ahead == 0 {
		heap.Push(&q.ready, t)
	}
}

// replace takes away the heartbeat that waits, if any, and says whether e has
// got its place.
func (q *queue) replace(e cluster.Event, v *view) bool {
	old := q.beats[e.Cluster]
	if old == nil {
		return false
	}
	q.replaced++
	if all := q.lines[line{cluster: e.Cluster}]; all[len(all)-1] == old {
		old.event, old.view = e, v
		return true
	}
	old.replaced, old.view = true, nil
	q.waiting--
	return false
}

// next hands out the oldest trigger that may start, or nil. It must be given
// to finish in the end.
func (q *queue) next() *trigger {
	for len(q.ready) > 0 {
		t := heap.Pop(&q.ready).(*trigger)
		if t.replaced {
			q.finish(t)
			continue
		}
		if t.event.Kind == cluster.PlusmoinHeartbeat {
			delete(q.beats, t.event.Cluster)
		}
		q.waiting--
		return t
	}
	return nil
}

// finish lets those go on that waited for t, which next has handed out.
func (q *queue) finish(t *trigger) {
	for _, l := range t.lines() {
		rest := q.lines[l]
		rest[0] = nil // let it be collected while the line goes on
		rest = rest[1:]
		if len(rest) == 0 {
			delete(q.lines, l)
			continue
		}
		q.lines[l] = rest
		rest[0].ahead--
		if rest[0].ahead == 0 {
			heap.Push(&q.ready, rest[0])
		}
	}
}

// byAge is a heap for container/heap.
type byAge []*trigger

func (h byAge) Len() int           { return len(h) }
func (h byAge) Less(i, j int) bool { return h[i].age < h[j].age }
func (h byAge) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byAge) Push(x any)        { *h = append(*h, x.(*trigger)) }

func (h *byAge) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}
