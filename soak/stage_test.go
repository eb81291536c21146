//go:build linux

package soak

import (
	"context"
	"fmt"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// actor is a server, what was done to it, and where that must put it.
type actor struct {
	server
	address string
	fake    bool // a node of the fake fleet

	configured bool   // plusmoin is told to watch it
	master     bool   // runs, or would, as a master
	upstream   *actor // of a slave
	frozen     bool
	sent       bool   // was sent something since it was frozen
	paused     bool   // does not replay
	held       *actor // while paused or frozen, the only master whose data it can have received; nil: none or several
	readOnly   bool
	barred     bool      // lets plusmoin not in
	system     *team     // of the fleet: the cluster that its data once came from
	stuck      bool      // found unable to stream from its upstream
	broken     bool      // cannot even start
	cut        time.Time // when its connections were last dropped, together with those of others

	team  *team // nil: clusterless
	place cluster.Place
	split bool  // left its team as a master and has founded none
	reign *team // whose beats it wrote last

	// What a slave knows of beats.
	from    *team     // whose it received last
	writer  *actor    // that wrote them
	has     bool      // they are that team's newest
	starved time.Time // since when they are not
}

// team is a cluster.
type team struct {
	id     int    // unborn until it was told
	master *actor // nil while it has none
	last   *actor // its master or the one before
	fake   bool   // of the fake fleet
}

const unborn = -1

// serves says that the server does its work.
func (a *actor) serves() bool { return a.Running() && !a.frozen }

// answers says that plusmoin can see the server.
func (a *actor) answers() bool { return a.configured && a.serves() && !a.barred }

// root returns the working master that a slave gets its data from, nil if there
// is none.
func (a *actor) root() *actor {
	for n := a; !n.stuck && n.upstream != nil && n.upstream.serves() && n.upstream != a; {
		n = n.upstream
		if n.master {
			return n
		}
	}
	return nil
}

// through returns the slaves that get their data through a server.
func (w *world) through(n *actor) []*actor {
	var list []*actor
	for _, a := range w.servers {
		above := a.upstream
		for above != nil && above != n && above != a {
			above = above.upstream
		}
		if above == n && a != n && a.place == cluster.Slave {
			list = append(list, a)
		}
	}
	return list
}

// source returns the master whose beats reach a slave, nil if none do.
func (a *actor) source() *actor {
	if root := a.root(); root != nil && root.place == cluster.Master {
		return root
	}
	return nil
}

// world is all servers and what must be told of them.
type world struct {
	servers []*actor
	teams   []*team

	failInterval, maxSync, recoverSync time.Duration
	heartbeat                          string

	began time.Time // the step under way
	wants []*want
	mark  int // last written to find out who gets it

	excused int // how often the machine was found to be slow
	probed  time.Time
	flaps   map[*actor]bool
	busy    map[*team]bool // that the step under way has to do with
}

// build starts two clusters of three and a spare, and adds those of the fleet.
func build(ctx context.Context, lab *pglab.Lab, f *fakeFleet) (*world, error) {
	w := &world{flaps: map[*actor]bool{}, busy: map[*team]bool{}}
	for _, names := range [][]string{{"a0", "a1", "a2"}, {"b0", "b1", "b2"}, {"x0"}} {
		servers, err := lab.Cluster(ctx, names...)
		if err != nil {
			return nil, err
		}
		if err := prepare(ctx, servers); err != nil {
			return nil, err
		}
		var nodes []server
		for _, s := range servers {
			nodes = append(nodes, genuine{s})
		}
		w.enlist(nodes, false)
	}
	for c := range fakeClusters {
		w.enlist(f.cluster(c), true)
	}
	return w, nil
}

// enlist adds a cluster, its master first.
func (w *world) enlist(nodes []server, fake bool) {
	t := &team{id: len(w.teams), fake: fake}
	w.teams = append(w.teams, t)
	for i, s := range nodes {
		a := &actor{server: s, fake: fake, configured: true, team: t, system: t, place: cluster.Slave}
		a.address = cluster.Node{Host: s.Host(), Port: s.Port()}.String()
		if i == 0 {
			a.master, a.place = true, cluster.Master
			t.master, t.last, a.reign = a, a, t
		} else {
			a.upstream = t.master
		}
		w.servers = append(w.servers, a)
	}
}

// prepare makes the table of marks.
func prepare(ctx context.Context, servers []*pglab.Server) error {
	if _, err := servers[0].SQL(ctx, "CREATE TABLE soak AS SELECT 0 AS mark"); err != nil {
		return err
	}
	for _, slave := range servers[1:] {
		if err := slave.CatchUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) byAddress(address string) *actor {
	for _, a := range w.servers {
		if a.address == address {
			return a
		}
	}
	return nil
}

func (w *world) members(t *team) []*actor {
	var list []*actor
	for _, a := range w.servers {
		if t != nil && a.team == t {
			list = append(list, a)
		}
	}
	return list
}

// measureStreams finds out which slaves cannot follow an upstream that works:
// servers decide that by their WAL, and not always in words; some end. One that
// is paused may have to go on before it can. See matchSystems for the fleet.
func (w *world) measureStreams(ctx context.Context) error {
	w.mark++
	written := map[*actor]bool{}
	for _, a := range w.servers {
		root := a.root()
		self, real := a.server.(genuine)
		if !real || a.master || a.paused || !a.serves() || root == nil {
			continue
		}
		if !written[root] {
			if _, err := root.server.(genuine).SQL(ctx, fmt.Sprintf("SET default_transaction_read_only = off; UPDATE soak SET mark = %d", w.mark)); err != nil {
				return err
			}
			written[root] = true
		}
		began := time.Now()
		ok, err := poll(ctx, 10*time.Second, func() (bool, error) {
			var mark string
			err := insist(ctx, func() (err error) {
				if mark, err = self.SQL(ctx, "SELECT mark FROM soak"); !a.Running() {
					err = nil
				}
				return err
			})
			return mark == fmt.Sprint(w.mark) || !a.Running(), err
		})
		if err != nil {
			return err
		}
		if !a.Running() {
			if !forked(a.Log()) {
				return fmt.Errorf("%s has ended", a.Name())
			}
			a.stuck, a.broken = true, true
			w.gone(a, began)
			continue
		}
		a.stuck = !ok
		if ok && time.Since(began) > w.nearlyLate() {
			w.mayFlap(a)
		}
	}
	return nil
}

// matchSystems finds out which slaves of the fleet cannot follow their upstream,
// since it has become a copy of another system.
func (w *world) matchSystems() {
	for _, a := range w.servers {
		if a.fake {
			a.stuck = a.upstream != nil && a.upstream.system != a.system
		}
	}
}

// slow is how long a server that works may take to answer a new session on a
// machine that has time for it.
const slow = 400 * time.Millisecond

// probe finds out, twice a second at most, whether servers still answer soon.
func (w *world) probe(ctx context.Context) error {
	if time.Since(w.probed) < 500*time.Millisecond {
		return nil
	}
	for _, n := range w.servers {
		self, real := n.server.(genuine)
		if !real || !n.serves() {
			continue
		}
		began := time.Now()
		if err := insist(ctx, func() error { _, err := self.SQL(ctx, "SELECT"); return err }); err != nil {
			return err
		}
		if w.probed = time.Now(); time.Since(began) > slow {
			w.excuse()
		}
		return nil
	}
	return nil
}

// latest returns the latest stamp in the row of any server that serves, in
// microseconds.
func (w *world) latest(ctx context.Context) (int64, error) {
	most := int64(0)
	for _, n := range w.servers {
		if !n.serves() {
			continue
		}
		r, err := n.heartbeat(ctx)
		if err != nil {
			return 0, err
		}
		most = max(most, r.stamp)
	}
	return most, nil
}

// poll asks until the answer is yes or the time is over.
func poll(ctx context.Context, limit time.Duration, yes func() (bool, error)) (bool, error) {
	for deadline := time.Now().Add(limit); ; {
		ok, err := yes()
		if ok || err != nil || time.Now().After(deadline) {
			return ok, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(30 * time.Millisecond):
		}
	}
}
