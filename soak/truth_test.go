//go:build linux

package soak

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"plusmoin/cluster"
)

// want is an event that must come.
type want struct {
	kind      cluster.Kind
	team      *team
	node      *actor // nil if it is about the cluster
	notBefore time.Time
	due       time.Time // when it is to be told on an idle machine; zero: by and by
	optional  bool      // it may come: whether it is due is a matter of a moment
	met       bool
}

func (e *want) String() string {
	text := string(e.kind)
	if e.team.id == unborn {
		text += " of a new cluster"
	} else {
		text += " " + strconv.Itoa(e.team.id)
	}
	if e.node != nil {
		text += " " + e.node.Name()
	}
	return text
}

func (w *world) want(k cluster.Kind, t *team, n *actor) *want {
	e := &want{kind: k, team: t, node: n, notBefore: w.began}
	w.wants = append(w.wants, e)
	return e
}

// reconnected is how long after its connections were dropped a node has been
// written to over a new one, even if others kept a round or two waiting.
const reconnected = 3 * time.Second

// wantAway wants an event of a node that fails since a time. A connection that
// dropped just before may have cost it a beat, and then it fails since then.
func (w *world) wantAway(since time.Time, k cluster.Kind, n *actor) {
	e := w.want(k, n.team, n)
	e.notBefore, e.due = since.Add(w.failInterval), since.Add(w.failInterval)
	if since.Sub(n.cut) < reconnected {
		e.notBefore = n.cut.Add(w.failInterval)
	}
}

// excuse lets everybody flap who is up and of whom nothing is expected: the
// machine is so slow that plusmoin may well not reach them in time.
func (w *world) excuse() {
	w.excused++
	for _, n := range w.servers {
		about := func(e *want) bool { return e.node == n }
		if n.answers() && (n.place == cluster.Master || n.place == cluster.Slave) && !slices.ContainsFunc(w.wants, about) {
			if _, may := w.flaps[n]; !may {
				w.flaps[n] = true
			}
		}
	}
}

// mayFlap allows a server that was away for about fail_interval, or a slave that
// lagged by about its limit, to be told down and up again.
func (w *world) mayFlap(nodes ...*actor) {
	for _, n := range nodes {
		w.flaps[n] = true
	}
}

// gone is told of a server that plusmoin cannot see, or write to, since a time.
func (w *world) gone(n *actor, since time.Time) {
	n.paused = n.paused && n.Running()
	switch n.place {
	case cluster.Master:
		w.wantAway(since, cluster.MasterDown, n)
		n.team.master, n.place = nil, cluster.Lost
	case cluster.Slave:
		w.wantAway(since, cluster.SlaveDown, n)
		n.place = cluster.Lost
	}
}

// back is told of a server that plusmoin can see and write to again.
func (w *world) back(n *actor) {
	switch {
	case !n.master || n.readOnly || n.place == cluster.Master || !n.answers():
	case n.team == nil:
		w.found(n)
	case n.team.master == nil && n.team.last == n:
		w.crown(n.team, n)
	default:
		w.leave(n)
		n.split = true
		w.found(n)
	}
}

// found makes a new cluster.
func (w *world) found(n *actor) {
	kind := cluster.ClusterUp
	if n.split {
		kind = cluster.ClusterSplit
	}
	t := &team{id: unborn, master: n, last: n, fake: n.fake}
	w.teams = append(w.teams, t)
	w.want(kind, t, n)
	n.team, n.place, n.split, n.reign = t, cluster.Master, false, t
}

// crown makes a member the master of its cluster. Another that answers as
// master, but cannot write, goes.
func (w *world) crown(t *team, n *actor) {
	if t.master != nil {
		t.master.place = cluster.Lost
	}
	w.want(cluster.MasterUp, t, n)
	t.master, t.last, n.place, n.reign = n, n, cluster.Master, t
	for _, other := range w.members(t) {
		if other != n && other.master && other.answers() {
			w.leave(other)
			other.split = true
		}
	}
}

// leave makes a node clusterless; a cluster without members ends.
func (w *world) leave(n *actor) {
	t := n.team
	w.want(cluster.NodeLeft, t, n)
	n.team, n.place = nil, cluster.Clusterless
	if t.master == n {
		t.master = nil
	}
	if len(w.members(t)) == 0 {
		w.want(cluster.ClusterGone, t, nil)
		w.teams = slices.DeleteFunc(w.teams, func(other *team) bool { return other == t })
	}
}

// follow brings up to date what the slaves have and where that puts them.
func (w *world) follow() {
	for _, n := range w.servers {
		if n.master {
			continue
		}
		w.feed(n)
		n.sent = n.sent || n.frozen && n.root() != nil
		if root := n.root(); (n.paused || n.frozen) && root != nil && root != n.held {
			n.held = nil
		}
		if n.answers() {
			w.place(n)
		}
	}
}

// feed notes whose beats reach a slave. One that is paused may receive them, but
// does not when its upstream was away in between.
func (w *world) feed(n *actor) {
	if t := w.giver(n); t != nil {
		n.from, n.writer, n.has, n.starved = t, t.last, true, time.Time{}
		return
	}
	// What works for nobody still hands on what it wrote last, maybe for a
	// cluster that is gone.
	if root := n.root(); root != nil && n.serves() && !n.paused && root.reign != n.from {
		n.from, n.writer, n.has, n.starved = root.reign, root, false, time.Now()
	}
	if n.from != nil && n.from.master != nil && n.starved.IsZero() {
		n.has, n.starved = false, time.Now()
	}
}

// unpause is told that a slave ended that did not replay. When it starts it will
// replay all that it had received.
func (w *world) unpause(n *actor) {
	if n.held == nil {
		n.broken = true // nobody knows how much that is
	} else {
		n.from, n.writer = n.held.reign, n.held
	}
	n.paused, n.has, n.starved = false, false, time.Now()
}

// giver returns the cluster whose beats a slave has all of: that of its source
// or, if what it follows is the last master of a cluster without one, which
// works but cannot be seen or written by plusmoin, that.
func (w *world) giver(n *actor) *team {
	if !n.serves() || n.paused {
		return nil
	}
	root := n.root()
	if root == nil {
		return nil
	}
	if root.place == cluster.Master {
		return root.team
	}
	if t := root.reign; t != nil && t.last == root && t.master == nil && slices.Contains(w.teams, t) {
		return t
	}
	return nil
}

// place says where a slave that answers must be.
func (w *world) place(n *actor) {
	source := n.source()
	switch {
	case source != nil && n.paused:
		w.lags(n)
	case w.moves(n):
		if n.team != nil {
			w.leave(n)
		}
		n.team, n.place = n.from, cluster.Lost
		w.want(cluster.NodeJoined, n.team, n)
		if n.has {
			w.up(n)
		}
	case source != nil:
		w.up(n)
	case n.team == nil:
	case n.team.master != nil:
		w.lags(n)
	case n.has && n.from == n.team:
		w.up(n)
	}
}

// moves says that a slave's row is by the current or last master of a cluster
// that it is not in.
func (w *world) moves(n *actor) bool {
	return n.from != nil && n.from != n.team && n.from.last == n.writer && slices.Contains(w.teams, n.from)
}

func (w *world) up(n *actor) {
	if n.place == cluster.Lost {
		w.want(cluster.SlaveUp, n.team, n)
		n.place = cluster.Slave
	}
}

// lags is told of a slave that does not get, or does not apply, the beats.
func (w *world) lags(n *actor) {
	if n.place == cluster.Slave {
		w.want(cluster.SlaveDown, n.team, n).notBefore = w.began.Add(w.nearlyLate())
		n.place = cluster.Lost
	}
}

// nearlyLate is for how long a slave may lack beats and be certain not to count
// as late: what it lacks may have been sent some time before.
func (w *world) nearlyLate() time.Duration { return w.maxSync - 1500*time.Millisecond }

// picture is where all nodes must be.
func (w *world) picture() map[string]string {
	all := map[string]string{}
	for _, n := range w.servers {
		if n.configured {
			all[n.Name()] = whereabouts(n.team, n.place)
		}
	}
	return all
}

func whereabouts(t *team, p cluster.Place) string {
	if t == nil {
		return string(cluster.Clusterless)
	}
	return fmt.Sprintf("%s of %d", p, t.id)
}

// unripe says that a member without beats has lacked them for so short that
// plusmoin may count it as in sync, should the master go now.
func (w *world) unripe(t *team) bool {
	return slices.ContainsFunc(w.servers, func(n *actor) bool {
		return !n.master && n.from == t && !n.has && !n.starved.IsZero() && time.Since(n.starved) < w.recoverSync+2*time.Second
	})
}

// kin returns the slaves that serve a cluster, the most advanced first is not
// promised.
func (w *world) kin(t *team) []*actor {
	list := slices.DeleteFunc(w.members(t), func(n *actor) bool { return n.master || !n.answers() })
	slices.SortFunc(list, func(a, b *actor) int { return cmp.Compare(a.Name(), b.Name()) })
	return list
}
