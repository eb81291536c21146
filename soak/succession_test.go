//go:build linux

package soak

import (
	"context"
	"fmt"
	"slices"
	"time"

	"plusmoin/cluster"
)

// The steps that give a cluster another master, or a server another cluster.

// failover promotes the most advanced slave of a cluster without a master and
// points none, some or all of the others at it.
func (h *havoc) failover() *step {
	n := h.one(func(n *actor) bool {
		return streams(n) && !n.stuck && n.has && n.team.master == nil
	})
	if n == nil {
		return nil
	}
	t, all := n.team, h.random.IntN(3) > 0
	text := fmt.Sprintf("promote a slave of %d, repoint the others: %t", t.id, all)
	return &step{text, h.everyone(t), func(ctx context.Context) error { return h.succeed(ctx, t, all) }}
}

// everyone returns the clusters of all whom a change of master may concern.
func (h *havoc) everyone(t *team) []*team {
	teams := []*team{t}
	for _, n := range h.w.members(t) {
		teams = append(teams, h.withUpstream(n)...)
	}
	return teams
}

// succeed promotes a slave of a cluster.
func (h *havoc) succeed(ctx context.Context, t *team, repoint bool) error {
	heir, err := h.heir(ctx, t)
	if err != nil {
		return err
	}
	since := time.Now()
	if err := heir.Promote(ctx); err != nil {
		return err
	}
	heir.master, heir.upstream = true, nil
	h.w.crown(t, heir)
	if !repoint {
		return nil
	}
	return h.gather(ctx, t, heir, since)
}

// heir returns the slave that has received most, as who promotes must: the
// others could not follow another.
func (h *havoc) heir(ctx context.Context, t *team) (*actor, error) {
	var best *actor
	var most string
	for _, n := range h.w.kin(t) {
		if n.place != cluster.Slave || n.paused || n.stuck || !n.has {
			continue
		}
		at, err := n.received(ctx)
		if err != nil {
			return nil, err
		}
		if best == nil || at > most {
			best, most = n, at
		}
	}
	if best == nil {
		return nil, fmt.Errorf("cluster %d has nobody to promote", t.id)
	}
	return best, nil
}

// gather points the slaves of a cluster at its new master. If that took long
// they may have lagged too much.
func (h *havoc) gather(ctx context.Context, t *team, master *actor, since time.Time) error {
	var moved []*actor
	for _, n := range h.w.kin(t) {
		if n == master || n.paused || n.stuck {
			continue
		}
		if err := n.follow(ctx, master.server); err != nil {
			return err
		}
		n.upstream = master
		moved = append(moved, n)
	}
	if err := h.w.measureStreams(ctx); err != nil {
		return err
	}
	if time.Since(since) > h.w.recoverSync+time.Second/2 {
		h.w.mayFlap(slices.DeleteFunc(moved, func(n *actor) bool { return n.stuck || n.place != cluster.Slave })...)
	}
	return nil
}

// secede promotes a slave beside its master, which goes on.
func (h *havoc) secede() *step {
	n := h.one(func(n *actor) bool { return streams(n) && n.team.master != nil && n.source() != nil })
	if n == nil || h.crowded() {
		return nil
	}
	return &step{"promote " + n.Name() + " beside its master", h.everyone(n.team), func(ctx context.Context) error {
		if err := n.Promote(ctx); err != nil {
			return err
		}
		n.master, n.upstream = true, nil
		h.w.leave(n)
		n.split = true
		h.w.found(n)
		return nil
	}}
}

// crowded says that there are so many clusters that no more should be made.
func (h *havoc) crowded() bool {
	count, most := 0, 4
	if h.fake {
		most = fakeClusters + 4
	}
	for _, t := range h.w.teams {
		if t.fake == h.fake {
			count++
		}
	}
	return count > most
}

// switchover stops a master, promotes a slave that has all of it, and makes the
// old master its slave.
func (h *havoc) switchover() *step {
	m := h.one(func(m *actor) bool {
		return reigns(m) && !h.held(m) && !h.w.unripe(m.team) && slices.ContainsFunc(h.w.kin(m.team), func(n *actor) bool {
			return streams(n) && n.upstream == m && !n.stuck
		})
	})
	if m == nil {
		return nil
	}
	return &step{"switch over from " + m.Name(), h.everyone(m.team), func(ctx context.Context) error { return h.switchFrom(ctx, m) }}
}

func (h *havoc) switchFrom(ctx context.Context, m *actor) error {
	t, since := m.team, time.Now()
	if err := m.Stop(ctx); err != nil {
		return err
	}
	down := h.w.want(cluster.MasterDown, t, m)
	if !m.fake {
		down.notBefore = since.Add(h.w.failInterval)
	}
	if err := h.succeed(ctx, t, true); err != nil {
		return err
	}
	down.optional = true
	// A fake is a slave so soon that plusmoin may see that in the look in which
	// it does not see the new master yet.
	if !m.fake && time.Since(since) < h.w.failInterval-500*time.Millisecond {
		h.w.wants = slices.DeleteFunc(h.w.wants, func(e *want) bool { return e == down })
	}
	if err := m.follow(ctx, t.master.server); err != nil {
		return err
	}
	m.master, m.upstream, m.stuck = false, t.master, false
	return nil
}

// repoint lets a slave that gets no beats follow the master of its cluster.
func (h *havoc) repoint() *step {
	n := h.one(func(n *actor) bool {
		return !n.master && n.answers() && !n.stuck && !n.paused && n.source() == nil && n.team != nil && n.team.master != nil
	})
	if n == nil {
		return nil
	}
	m := n.team.master
	return &step{"repoint " + n.Name() + " to " + m.Name(), h.everyone(n.team), func(ctx context.Context) error {
		n.upstream = m
		return n.follow(ctx, m.server)
	}}
}

// rebuild makes a server that is down, or a slave that can follow nobody, a
// slave of any master, from a copy.
func (h *havoc) rebuild() *step {
	n := h.one(func(n *actor) bool { return !n.Running() && !n.barred && !n.readOnly })
	m := h.one(reigns)
	if n == nil || m == nil {
		return nil
	}
	teams := slices.Concat(h.everyone(n.team), h.everyone(m.team), h.withUpstream(n))
	return &step{"rebuild " + n.Name() + " as a slave of " + m.Name(), teams, func(ctx context.Context) error {
		err := n.rebuild(ctx, m.server)
		n.master, n.upstream, n.stuck, n.broken, n.split = false, m, false, false, false
		n.system = m.system
		return err
	}}
}
