//go:build linux

package soak

import (
	"context"
	"fmt"
	"strings"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// actor is a server, what was done to it, and where that must put it.
type actor struct {
	*pglab.Server
	address string

	configured bool   // plusmoin is told to watch it
	master     bool   // runs, or would, as a master
	upstream   *actor // of a slave
	frozen     bool
	sent       bool   // was sent something since it was frozen
	paused     bool   // does not replay
	held       *actor // while paused or frozen, the only master whose data it can have received; nil: none or several
	readOnly   bool
	barred     bool // lets plusmoin not in
	stuck      bool // found unable to stream from its upstream
	broken     bool // cannot even start

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

	began time.Time // the step under way
	wants []*want
	mark  int // last written to find out who gets it

	excused int // how often the machine was found to be slow
	probed  time.Time
	flaps   map[*actor]bool
	busy    map[*team]bool // that the step under way has to do with
}

// build starts two clusters of three and a spare.
func build(ctx context.Context, lab *pglab.Lab) (*world, error) {
	w := &world{}
	for _, names := range [][]string{{"a0", "a1", "a2"}, {"b0", "b1", "b2"}, {"x0"}} {
		servers, err := lab.Cluster(ctx, names...)
		if err != nil {
			return nil, err
		}
		if err := prepare(ctx, servers); err != nil {
			return nil, err
		}
		t := &team{id: len(w.teams)}
		w.teams = append(w.teams, t)
		for i, s := range servers {
			a := &actor{Server: s, configured: true, team: t, place: cluster.Slave}
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
	return w, nil
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
// is paused may have to go on before it can.
func (w *world) measureStreams(ctx context.Context) error {
	w.mark++
	written := map[*actor]bool{}
	for _, a := range w.servers {
		root := a.root()
		if a.master || a.paused || !a.serves() || root == nil {
			continue
		}
		if !written[root] {
			if _, err := root.SQL(ctx, fmt.Sprintf("SET default_transaction_read_only = off; UPDATE soak SET mark = %d", w.mark)); err != nil {
				return err
			}
			written[root] = true
		}
		began := time.Now()
		ok, err := poll(ctx, 10*time.Second, func() (bool, error) {
			var mark string
			err := insist(ctx, func() (err error) {
				if mark, err = a.SQL(ctx, "SELECT mark FROM soak"); !a.Running() {
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

// slow is how long a server that works may take to answer a new session on a
// machine that has time for it.
const slow = 400 * time.Millisecond

// probe finds out, twice a second at most, whether servers still answer soon.
func (w *world) probe(ctx context.Context) error {
	if time.Since(w.probed) < 500*time.Millisecond {
		return nil
	}
	for _, n := range w.servers {
		if !n.serves() {
			continue
		}
		began := time.Now()
		if err := insist(ctx, func() error { _, err := n.SQL(ctx, "SELECT"); return err }); err != nil {
			return err
		}
		if w.probed = time.Now(); time.Since(began) > slow {
			w.excuse()
		}
		return nil
	}
	return nil
}

// row is what the heartbeat row of a server says.
func (w *world) row(ctx context.Context, a *actor) (id, master string, err error) {
	text, err := a.SQL(ctx, "SELECT cluster_id, master FROM heartbeat")
	id, master, _ = strings.Cut(text, "|")
	return id, master, err
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
