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
		{3, h.bar}, {6, h.unbar}, {4, h.restart}, {3, h.blink},
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
		if n.configured && !h.w.busy[n.team] && is(n) {
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
		_, err := hangUp(ctx, n)
		return err
	}}
}

// hangUp ends plusmoin's sessions on a server and says whether there were any.
func hangUp(ctx context.Context, n *actor) (bool, error) {
	ended, err := n.SQL(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'plusmoin'")
	return ended != "0", err
}

// unseen is for how long a session may have been let in and not be shown.
const unseen = 500 * time.Millisecond

// turnOut ends plusmoin's sessions on a server that takes no new ones, also one
// that was let in just before.
func turnOut(ctx context.Context, n *actor) error {
	for last := time.Now(); time.Since(last) < unseen; {
		some, err := hangUp(ctx, n)
		if some {
			last = time.Now()
		}
		if err := errors.Join(err, sleep(ctx, 20*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// forbid makes a master read-only, permit makes it writable again.
func (h *havoc) forbid() *step {
	n := h.one(func(n *actor) bool { return reigns(n) && !h.w.unripe(n.team) })
	if n == nil {
		return nil
	}
	return &step{"make " + n.Name() + " read-only", []*team{n.team}, func(ctx context.Context) error {
		since := time.Now()
		err := n.SetConf(ctx, "default_transaction_read_only", "on")
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
		err := n.SetConf(ctx, "default_transaction_read_only", "off")
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
		if err := n.SetHBA(ctx, "host all all 127.0.0.0/8 reject"); err != nil {
			return err
		}
		n.barred = true
		h.w.gone(n, since)
		return turnOut(ctx, n)
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
		err := n.SetHBA(ctx, "host all all 127.0.0.0/8 scram-sha-256")
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
