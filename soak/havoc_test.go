//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"plusmoin/cluster"
)

// step is something that can be done now.
type step struct {
	text  string
	teams []*team // that it has to do with, nil for the clusterless; none: it must be alone
	do    func(ctx context.Context) error
}

// havoc knows what can be done to the servers, and what of it is possible now.
type havoc struct {
	w      *world
	random *rand.Rand
	fake   bool // what it does now, it does to the fake fleet and not to PostgreSQL
}

// kind is a kind of step: find returns one that is possible now, nil if none
// is.
type kind struct {
	weight int
	find   func() *step
}

func (h *havoc) kinds() []kind {
	return []kind{
		{6, h.endSlave}, {4, h.endMaster}, {12, h.start}, {4, h.freeze}, {8, h.thaw},
		{8, h.failover}, {2, h.secede}, {3, h.switchover}, {6, h.repoint}, {8, h.rebuild},
		{4, h.pause}, {6, h.resume}, {3, h.terminate}, {3, h.forbid}, {6, h.permit},
		{3, h.bar}, {6, h.unbar}, {4, h.restart}, {3, h.blink}, {2, h.slow}, {1, h.cut},
	}
}

// healing are the kinds after which less is wrong.
func (h *havoc) healing() []kind {
	return []kind{
		{1, h.start}, {1, h.thaw}, {1, h.failover}, {1, h.repoint}, {1, h.rebuild}, {1, h.resume}, {1, h.permit}, {1, h.unbar},
	}
}

// draw returns a step of a random kind that is possible, nil if none is.
func draw(random *rand.Rand, kinds []kind) *step {
	kinds = slices.Clone(kinds)
	for len(kinds) > 0 {
		total := 0
		for _, k := range kinds {
			total += k.weight
		}
		i, at := 0, random.IntN(total)
		for ; at >= kinds[i].weight; i++ {
			at -= kinds[i].weight
		}
		if s := kinds[i].find(); s != nil {
			return s
		}
		kinds = slices.Delete(kinds, i, i+1)
	}
	return nil
}

// one returns a random free server that is as wanted, nil if there is none.
func (h *havoc) one(is func(*actor) bool) *actor {
	var list []*actor
	for _, n := range h.w.servers {
		if n.fake == h.fake && n.configured && !h.w.busy[n.team] && is(n) {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[h.random.IntN(len(list))]
}

func sound(n *actor) bool { return n.serves() && !n.barred && !n.readOnly }

func reigns(n *actor) bool { return sound(n) && n.place == cluster.Master }

func streams(n *actor) bool { return sound(n) && n.place == cluster.Slave && !n.paused }

// end kills or stops a server.
func (h *havoc) end(n *actor) *step {
	how, do := "kill", n.Kill
	if h.random.IntN(2) == 0 && !h.held(n) && !n.frozen {
		how, do = "stop", n.Stop
	}
	return &step{how + " " + n.Name(), []*team{n.team}, func(ctx context.Context) error {
		since := time.Now()
		err := do(ctx)
		n.frozen, n.sent = false, false
		if n.paused {
			h.w.unpause(n)
		}
		h.w.gone(n, since)
		return err
	}}
}

// held says that a server would wait for a slave if it were to stop: for one that
// is frozen, or has more than it could be sent.
func (h *havoc) held(n *actor) bool {
	return slices.ContainsFunc(h.w.servers, func(slave *actor) bool {
		return slave.upstream == n && (slave.frozen || slave.stuck)
	})
}

func (h *havoc) endSlave() *step {
	n := h.one(func(n *actor) bool {
		return !n.master && (n.serves() || n.sent) && !n.barred && (!n.paused || n.held == nil || n.source() == n.held)
	})
	if n == nil {
		return nil
	}
	return h.end(n)
}

func (h *havoc) endMaster() *step {
	n := h.one(func(n *actor) bool { return reigns(n) && !h.w.unripe(n.team) })
	if n == nil {
		return nil
	}
	return h.end(n)
}

// startable says that what becomes of a server when it starts is certain.
func (h *havoc) startable(n *actor) bool {
	if n.Running() || n.broken {
		return false
	}
	if n.master || n.team != nil {
		return true
	}
	return n.upstream != nil && n.upstream.serves() && n.upstream.place == cluster.Master
}

func (h *havoc) start() *step {
	n := h.one(h.startable)
	if n == nil {
		return nil
	}
	return &step{"start " + n.Name(), h.withUpstream(n), func(ctx context.Context) error {
		n.stuck = false // it begins at an earlier point, maybe one before the fork
		err := n.Start(ctx)
		if err != nil && !n.master && (forked(n.Log()) || errors.Is(err, context.DeadlineExceeded)) {
			n.stuck, n.broken = true, true
			return n.Kill(ctx) // it may wait for what its upstream never had
		}
		h.w.back(n)
		return err
	}}
}

// forked says that a slave found the history of its upstream to be another and
// gave up.
func forked(log string) bool {
	return strings.Contains(log, "does not contain minimum recovery point") ||
		strings.Contains(log, "is not a child of this server's history") ||
		strings.Contains(log, "but previous recovered WAL file came from timeline")
}

// withUpstream returns the clusters a server has to do with when it comes back.
func (h *havoc) withUpstream(n *actor) []*team {
	teams := []*team{n.team}
	for _, other := range h.w.servers {
		if other == n.upstream || other.upstream == n {
			teams = append(teams, other.team)
		}
	}
	return teams
}

func (h *havoc) freeze() *step {
	n := h.one(func(n *actor) bool { return streams(n) || reigns(n) && !h.w.unripe(n.team) })
	if n == nil {
		return nil
	}
	return &step{"freeze " + n.Name(), []*team{n.team}, func(context.Context) error {
		since := time.Now()
		err := n.Freeze()
		n.frozen, n.held = true, n.source()
		h.w.gone(n, since)
		return err
	}}
}

// thaw lets a frozen server go on. What a slave is sent while it is frozen it
// finds then, and nobody knows how much of it, unless it gets the rest as well.
func (h *havoc) thaw() *step {
	n := h.one(func(n *actor) bool {
		return n.frozen && (n.master || n.held != nil && n.source() == n.held || n.team != nil && !n.sent)
	})
	if n == nil {
		return nil
	}
	return &step{"thaw " + n.Name(), h.withUpstream(n), func(context.Context) error {
		err := n.Thaw()
		n.frozen, n.sent = false, false
		h.w.back(n)
		return err
	}}
}

// pause and resume replay.
func (h *havoc) pause() *step {
	n := h.one(func(n *actor) bool { return streams(n) && n.source() != nil })
	if n == nil {
		return nil
	}
	return &step{"pause replay of " + n.Name(), []*team{n.team}, func(ctx context.Context) error {
		n.paused, n.held = true, n.source()
		return n.PauseReplay(ctx)
	}}
}

func (h *havoc) resume() *step {
	n := h.one(func(n *actor) bool { return n.paused && n.answers() && n.held != nil && n.source() == n.held })
	if n == nil {
		return nil
	}
	return &step{"resume replay of " + n.Name(), h.withUpstream(n), func(ctx context.Context) error {
		n.paused = false
		return insist(ctx, func() error { return n.ResumeReplay(ctx) })
	}}
}

// terminate ends plusmoin's sessions on a server, which it must make anew.
func (h *havoc) terminate() *step {
	n := h.one((*actor).serves)
	if n == nil {
		return nil
	}
	return &step{"end plusmoin's sessions on " + n.Name(), []*team{n.team}, func(ctx context.Context) error {
		return n.hangUp(ctx)
	}}
}

// slow makes a node of the fleet think about everything, though not so long that
// it would be told.
func (h *havoc) slow() *step {
	n := h.one(func(n *actor) bool { return n.fake && sound(n) })
	if n == nil {
		return nil
	}
	thinks := time.Duration(1+h.random.IntN(50)) * time.Millisecond
	return &step{fmt.Sprintf("let %s think for %v", n.Name(), thinks), []*team{n.team}, func(context.Context) error {
		return n.server.(*fake).do(fmt.Sprintf("slow %%s %v", thinks))
	}}
}

// cut drops all connections to the fleet at once.
func (h *havoc) cut() *step {
	n := h.one(func(n *actor) bool { return n.fake })
	if n == nil {
		return nil
	}
	return &step{"drop all connections to the fleet", []*team{n.team}, func(context.Context) error {
		since := time.Now()
		for _, other := range h.w.servers {
			if other.fake {
				other.cut = since
			}
		}
		return n.server.(*fake).do("reset *")
	}}
}

// forbid makes a master read-only, permit makes it writable again.
func (h *havoc) forbid() *step {
	n := h.one(func(n *actor) bool { return reigns(n) && !h.w.unripe(n.team) })
	if n == nil {
		return nil
	}
	return &step{"make " + n.Name() + " read-only", []*team{n.team}, func(ctx context.Context) error {
		since := time.Now()
		err := n.seal(ctx)
		n.readOnly = true
		h.w.gone(n, since)
		return err
	}}
}

func (h *havoc) permit() *step {
	n := h.one(func(n *actor) bool { return n.readOnly && n.answers() })
	if n == nil {
		return nil
	}
	return &step{"make " + n.Name() + " writable", h.withUpstream(n), func(ctx context.Context) error {
		err := n.unseal(ctx)
		n.readOnly = false
		h.w.back(n)
		return err
	}}
}

// bar lets a server refuse plusmoin, though nobody else; unbar ends that.
func (h *havoc) bar() *step {
	n := h.one(func(n *actor) bool { return streams(n) || reigns(n) && !h.w.unripe(n.team) })
	if n == nil {
		return nil
	}
	return &step{"let " + n.Name() + " refuse plusmoin", []*team{n.team}, func(ctx context.Context) error {
		since := time.Now()
		n.barred = true
		h.w.gone(n, since)
		return n.bar(ctx)
	}}
}

func (h *havoc) unbar() *step {
	n := h.one(func(n *actor) bool {
		return n.barred && n.serves() && (n.master || n.team != nil || n.upstream.serves() && n.upstream.place == cluster.Master)
	})
	if n == nil {
		return nil
	}
	return &step{"let " + n.Name() + " admit plusmoin", h.withUpstream(n), func(ctx context.Context) error {
		err := n.unbar(ctx)
		n.barred = false
		h.w.back(n)
		return err
	}}
}

// away does something to a server that keeps it from answering for a while.
// Whether it is told down depends on how long that was.
func (h *havoc) away(text string, n *actor, do func(ctx context.Context) error) *step {
	return &step{text + " " + n.Name(), []*team{n.team}, func(ctx context.Context) error {
		since := time.Now()
		err := do(ctx)
		if time.Since(since) > h.w.failInterval-500*time.Millisecond {
			h.w.mayFlap(n)
		}
		if time.Since(since) > h.w.nearlyLate() {
			h.w.mayFlap(h.w.through(n)...)
		}
		return err
	}}
}

func (h *havoc) restart() *step {
	n := h.one(func(n *actor) bool {
		return !h.held(n) && (streams(n) && n.source() != nil || reigns(n) && !h.w.unripe(n.team))
	})
	if n == nil {
		return nil
	}
	return h.away("restart", n, n.Restart)
}

// blink freezes a server for too short a time to be told.
func (h *havoc) blink() *step {
	n := h.one(func(n *actor) bool { return streams(n) || reigns(n) && !h.w.unripe(n.team) })
	if n == nil {
		return nil
	}
	blink := time.Duration(h.random.IntN(300)) * time.Millisecond
	return h.away(fmt.Sprintf("freeze for %v", blink), n, func(ctx context.Context) error {
		if err := n.Freeze(); err != nil {
			return err
		}
		if err := sleep(ctx, blink); err != nil {
			return err
		}
		return n.Thaw()
	})
}

// insist does something on a slave again and again: what it replays may cancel
// a query that is in its way.
func insist(ctx context.Context, do func() error) error {
	var last error
	_, err := poll(ctx, 10*time.Second, func() (bool, error) {
		last = do()
		return last == nil, nil
	})
	return errors.Join(err, last)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
