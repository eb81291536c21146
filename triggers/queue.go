package triggers

import (
	"time"

	"plusmoin/cluster"
)

// trigger is one run of a command, to come or under way.
type trigger struct {
	lane  string
	event cluster.Event
	view  *view
	// came is when its event was told, and began when the command was started,
	// zero as long as it waits.
	came, began time.Time
	// ahead is in how many of its lines another trigger stands before it.
	ahead int
}

func (t *trigger) beat() bool { return t.event.Kind == cluster.PlusmoinHeartbeat }

// line names triggers of one lane that must run one after the other: those of
// a cluster, or those about a node, whose cluster is NoCluster.
type line struct {
	lane    string
	cluster int
	node    cluster.Node
}

// home is the line of the trigger's cluster.
func (t *trigger) home() line { return line{lane: t.lane, cluster: t.event.Cluster} }

func (t *trigger) lines() []line {
	lines := []line{t.home()}
	if n := t.event.Node; n != nil {
		lines = append(lines, line{t.lane, cluster.NoCluster, cluster.Node{Host: n.Host, Port: n.Port}})
	}
	return lines
}

// queue decides which trigger may start next. It holds those that wait and
// those that next has handed out, until they are finished. Nothing in it costs
// more than the number of lanes and of the lines of one trigger.
//
// A trigger that tells of a change may start when it is the first in all its
// lines. Heartbeats stand in no line, so that nothing waits for one: one may
// start when no change of its cluster waits or runs, and the one before it has
// ended. Both have slots of their own in each lane, and are served in the order
// in which they came to be able to start: a cluster with a backlog goes to the
// end after each, and starves no other.
type queue struct {
	lines    map[line][]*trigger // changes
	changes  map[int]int         // how many wait or run in all lanes, by cluster
	beats    map[line]*beats
	lanes    map[string]*lane
	order    []string // of the lanes, as they came
	waiting  int      // not handed out
	replaced uint64   // heartbeats that a newer one replaced
}

// lane is what can run in one lane, and how much does.
type lane struct {
	changes, beats   []*trigger // may start, not handed out
	running, beating int
}

// beats are the heartbeats of a cluster in a lane.
type beats struct {
	waits   *trigger // nil: none
	offered bool     // the one that waits stands among those that may start
	runs    bool
}

func newQueue() queue {
	return queue{
		lines: map[line][]*trigger{}, changes: map[int]int{}, beats: map[line]*beats{}, lanes: map[string]*lane{},
	}
}

func (q *queue) lane(name string) *lane {
	l := q.lanes[name]
	if l == nil {
		l = new(lane)
		q.lanes[name] = l
		q.order = append(q.order, name)
	}
	return l
}

// add puts a trigger at the end of its lines. A heartbeat takes the place of
// the one that waits, if any.
func (q *queue) add(name string, e cluster.Event, v *view, now time.Time) {
	t := &trigger{lane: name, event: e, view: v, came: now}
	if t.beat() {
		q.addBeat(t)
		return
	}
	q.waiting++
	q.changes[e.Cluster]++
	for _, l := range t.lines() {
		if len(q.lines[l]) > 0 {
			t.ahead++
		}
		q.lines[l] = append(q.lines[l], t)
	}
	if t.ahead == 0 {
		l := q.lane(name)
		l.changes = append(l.changes, t)
	}
}

func (q *queue) addBeat(t *trigger) {
	b := q.beats[t.home()]
	if b == nil {
		b = new(beats)
		q.beats[t.home()] = b
	}
	if b.waits != nil {
		q.replaced++
		b.waits.event, b.waits.view, b.waits.came = t.event, t.view, t.came
		return
	}
	q.waiting++
	b.waits = t
	q.offer(t.home())
}

// offer lets the heartbeat that waits start, if it may now.
func (q *queue) offer(home line) {
	b := q.beats[home]
	if b == nil || b.waits == nil || b.offered || b.runs || !q.clear(home) {
		return
	}
	b.offered = true
	l := q.lane(home.lane)
	l.beats = append(l.beats, b.waits)
}

// clear says that no change is in the way of a heartbeat: one of its lane, or,
// for a heartbeat without a name, of any.
func (q *queue) clear(home line) bool {
	if home.lane == "" {
		return q.changes[home.cluster] == 0
	}
	return len(q.lines[home]) == 0
}

// next hands out a trigger that may start in a lane where fewer than parallel
// of its sort run, or nil. It must be given to finish in the end.
func (q *queue) next(parallel int) *trigger {
	for _, name := range q.order {
		l := q.lanes[name]
		if len(l.changes) > 0 && l.running < parallel {
			t := l.changes[0]
			l.changes[0] = nil // let it be collected while others wait
			l.changes = l.changes[1:]
			l.running++
			q.waiting--
			return t
		}
		for len(l.beats) > 0 && l.beating < parallel {
			t := l.beats[0]
			l.beats[0] = nil
			l.beats = l.beats[1:]
			b := q.beats[t.home()]
			b.offered = false
			if !q.clear(t.home()) {
				continue // a change came first, and offers it anew when it is over
			}
			b.waits, b.runs = nil, true
			l.beating++
			q.waiting--
			return t
		}
	}
	return nil
}

// finish lets those go on that waited for t, which next has handed out.
func (q *queue) finish(t *trigger) {
	if t.beat() {
		q.lane(t.lane).beating--
		b := q.beats[t.home()]
		b.runs = false
		if b.waits == nil {
			delete(q.beats, t.home())
			return
		}
		q.offer(t.home())
		return
	}
	q.lane(t.lane).running--
	for _, l := range t.lines() {
		q.leave(l)
	}
	if q.changes[t.event.Cluster]--; q.changes[t.event.Cluster] == 0 {
		delete(q.changes, t.event.Cluster)
	}
	q.offer(t.home())
	q.offer(line{cluster: t.event.Cluster})
}

// leave takes the first trigger out of a line.
func (q *queue) leave(l line) {
	rest := q.lines[l]
	rest[0] = nil // let it be collected while the line goes on
	rest = rest[1:]
	if len(rest) == 0 {
		delete(q.lines, l)
		return
	}
	q.lines[l] = rest
	if rest[0].ahead--; rest[0].ahead == 0 {
		home := q.lane(rest[0].lane)
		home.changes = append(home.changes, rest[0])
	}
}
