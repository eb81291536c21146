//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"plusmoin/cluster"
)

// The steps that are done to plusmoin itself.

// operatorKinds are steps that need plusmoin for themselves.
func (s *soak) operatorKinds() []kind {
	kinds := []kind{{4, s.remove}, {8, s.add}, {3, s.limits}, {2, s.spoil}, {4, s.mood}, {6, s.suspend}, {6, s.setClock}}
	if s.mayRestart() {
		kinds = append(kinds, kind{30, s.renew})
	}
	return kinds
}

// hup writes the configuration and has it read.
func (s *soak) hup(ctx context.Context) error {
	before, _ := s.pulse.now()
	s.pulse.configured(s.configured, s.names())
	if err := s.plusmoin.configure(s.w); err != nil {
		return err
	}
	if err := s.reload(ctx, before.Config.TriedAt); err != nil {
		return err
	}
	s.configured = s.names()
	return nil
}

// reload sends SIGHUP and waits until the status file says it was obeyed.
func (s *soak) reload(ctx context.Context, before time.Time) error {
	if err := s.plusmoin.process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	ok, err := poll(ctx, patience, func() (bool, error) {
		doc, err := s.pulse.now()
		return !doc.Config.TriedAt.Equal(before), err
	})
	if err == nil && !ok {
		err = errors.New("a reload is not shown in the status file")
	}
	return err
}

// names returns the addresses of the nodes that are configured.
func (s *soak) names() []string {
	var list []string
	for _, n := range s.w.servers {
		if n.configured {
			list = append(list, n.address)
		}
	}
	return list
}

// remove and add change the list of nodes. A master that comes back is nobody's:
// it founds a cluster, and whoever follows it moves there.
func (s *soak) remove() *step {
	n := s.havoc.one(func(n *actor) bool {
		return sound(n) && (!n.master && !n.paused || n.place == cluster.Master && !s.w.unripe(n.team))
	})
	if n == nil || len(s.configured) < len(s.w.servers)-1 {
		return nil
	}
	return &step{"remove " + n.Name() + " by a reload", nil, func(ctx context.Context) error {
		t, reigned := n.team, n.place == cluster.Master
		if t != nil {
			s.w.leave(n)
		}
		if reigned {
			s.w.want(cluster.MasterDown, t, n)
		}
		n.configured = false
		return s.hup(ctx)
	}}
}

func (s *soak) add() *step {
	i := slices.IndexFunc(s.w.servers, func(n *actor) bool {
		return !n.configured && n.serves() && (n.master || n.source() != nil)
	})
	if i < 0 {
		return nil
	}
	n := s.w.servers[i]
	return &step{"add " + n.Name() + " by a reload", nil, func(ctx context.Context) error {
		n.configured, n.place = true, cluster.Clusterless
		s.w.back(n)
		return s.hup(ctx)
	}}
}

func (s *soak) limits() *step {
	maxSync := time.Duration(4+s.random.IntN(4)) * time.Second
	failInterval := time.Duration(2+s.random.IntN(4)) * time.Second / 2
	heartbeat := s.heartbeat()
	text := fmt.Sprintf("reload with max_sync_delay %v, fail_interval %v, heartbeat %q", maxSync, failInterval, heartbeat)
	return &step{text, nil, func(ctx context.Context) error {
		s.w.maxSync, s.w.failInterval, s.w.heartbeat = maxSync, failInterval, heartbeat
		return s.hup(ctx)
	}}
}

// heartbeat returns an interval or a schedule, both of a second.
func (s *soak) heartbeat() string { return []string{"@every 1s", "* * * * * *"}[s.random.IntN(2)] }

// spoil makes plusmoin read a configuration that it must refuse.
func (s *soak) spoil() *step {
	return &step{"reload a configuration with errors", nil, func(ctx context.Context) error {
		before, _ := s.pulse.now()
		if err := os.WriteFile(s.plusmoin.file("plusmoin.json"), []byte(`{"nodes": [{}], "heartbeat": -1}`), 0o600); err != nil {
			return err
		}
		if err := s.reload(ctx, before.Config.TriedAt); err != nil {
			return err
		}
		if doc, _ := s.pulse.now(); doc.Config.Error == nil {
			return errors.New("a configuration with errors was not refused")
		}
		return s.hup(ctx)
	}}
}

// mood changes how some triggers end. Most of the time they end well.
func (s *soak) mood() *step {
	mode := []string{wellMode, wellMode, failMode, hangMode, stubbornMode}[s.random.IntN(5)]
	return &step{"let slave_up and master_down end like this: " + mode, nil, func(context.Context) error {
		return s.plusmoin.setMode(mode)
	}}
}

// suspend stops plusmoin for some seconds, in which something may happen.
func (s *soak) suspend() *step {
	length := time.Duration(500+s.random.IntN(5500)) * time.Millisecond
	inner := s.meanwhile()
	text := fmt.Sprintf("suspend plusmoin for %v%s", length, inner.after())
	return &step{text, inner.teams, func(ctx context.Context) error {
		s.pulse.rest()
		if err := s.plusmoin.process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		err := inner.do(ctx)
		err = errors.Join(err, sleep(ctx, length))
		for _, e := range s.w.wants {
			if !e.due.IsZero() {
				e.due = time.Now().Add(s.w.failInterval)
			}
		}
		err = errors.Join(err, s.plusmoin.process.Signal(syscall.SIGCONT))
		s.pulse.wake()
		return err
	}}
}

// By how much a step sets plusmoin's clock: more than any limit or delay here.
const (
	leastStep = 20 * time.Second
	mostStep  = 365 * 24 * time.Hour
)

// setClock sets plusmoin's wall clock forward or back, maybe while it is finding
// something out. A step of seconds is as likely as one of months.
func (s *soak) setClock() *step {
	by := time.Duration(float64(leastStep) * math.Pow(float64(mostStep/leastStep), s.random.Float64()))
	if off := s.plusmoin.clock.off(); s.random.IntN(2) == 0 && off > -offMost || off > offMost {
		by = -by
	}
	inner, pause := s.meanwhile(), time.Duration(s.random.IntN(3000))*time.Millisecond
	text := fmt.Sprintf("set plusmoin's clock by %v%s", by.Round(time.Second), inner.after())
	return &step{text, inner.teams, func(ctx context.Context) error {
		if err := inner.do(ctx); err != nil {
			return err
		}
		if inner.text != "" {
			if err := sleep(ctx, pause); err != nil {
				return err
			}
		}
		return s.stepClock(ctx, by)
	}}
}

// stepClock waits until the status file shows that plusmoin reads the new time.
func (s *soak) stepClock(ctx context.Context, by time.Duration) error {
	if err := s.plusmoin.clock.step(by); err != nil {
		return err
	}
	ok, err := poll(ctx, patience, func() (bool, error) {
		_, err := s.pulse.now()
		return (s.pulse.off() - s.plusmoin.clock.off()).Abs() < leastStep/2, err
	})
	if err == nil && !ok {
		err = fmt.Errorf("plusmoin's clock is off by %v and not by %v", s.pulse.off(), s.plusmoin.clock.off())
	}
	return err
}

// meanwhile returns something simple to do at the same time.
func (s *soak) meanwhile() *step {
	h := s.havoc
	var found *step
	if s.random.IntN(2) == 0 {
		found = draw(s.random, []kind{{3, h.endSlave}, {3, h.endMaster}, {3, h.start}, {1, h.repoint}, {1, h.resume}})
	}
	if found == nil {
		return &step{do: func(context.Context) error { return nil }}
	}
	return found
}

func (s *step) after() string {
	if s.text == "" {
		return ""
	}
	return ", meanwhile " + s.text
}

// renew ends plusmoin and starts it again. Nothing else may happen before it has
// found out how things stand.
func (s *soak) renew() *step {
	if !s.clear() {
		return nil
	}
	how, end := "kill plusmoin", s.plusmoin.kill
	if s.random.IntN(2) == 0 {
		how, end = "stop plusmoin", s.plusmoin.stop
	}
	inner := &step{do: func(context.Context) error { return nil }}
	if found := draw(s.random, []kind{{2, s.absentFailover}, {1, s.havoc.endSlave}, {1, s.nothing}}); found != nil {
		inner = found
	}
	return &step{how + " and start it again" + inner.after(), nil, func(ctx context.Context) error {
		s.pulse.rest()
		if err := end(); err != nil {
			return err
		}
		if err := s.drain(ctx); err != nil {
			return err
		}
		if err := inner.do(ctx); err != nil {
			return err
		}
		if err := s.w.measureStreams(ctx); err != nil {
			return err
		}
		if err := s.reborn(ctx); err != nil {
			return err
		}
		latest, err := s.w.latest(ctx)
		if err != nil {
			return err
		}
		s.reader.rerun(latest, s.plusmoin.clock.now())
		if err := s.plusmoin.start(); err != nil {
			return err
		}
		return s.awaitRounds(ctx)
	}}
}

// drain hears what triggers write that have outlived a killed plusmoin.
func (s *soak) drain(ctx context.Context) error {
	_, err := poll(ctx, patience, func() (bool, error) {
		before := s.reader.all
		err := errors.Join(s.judge.hear(), sleep(ctx, 200*time.Millisecond), s.judge.hear())
		return s.reader.all == before, err
	})
	return err
}

func (s *soak) nothing() *step { return &step{do: func(context.Context) error { return nil }} }

// awaitRounds waits for a plusmoin just started to go round.
func (s *soak) awaitRounds(ctx context.Context) error {
	began := time.Now()
	ok, err := poll(ctx, patience, func() (bool, error) {
		doc, _ := s.pulse.now()
		return doc.UpdatedAt.After(began) && doc.Round.Number > 1, s.plusmoin.died()
	})
	if err == nil && !ok {
		err = errors.New("plusmoin was started and writes no status file")
	}
	s.pulse.wake()
	return err
}

// absentFailover is a failover that nobody watches.
func (s *soak) absentFailover() *step {
	m := s.havoc.one(func(m *actor) bool {
		return reigns(m) && !s.w.unripe(m.team) && slices.ContainsFunc(s.w.kin(m.team), func(n *actor) bool {
			return streams(n) && n.upstream == m && !n.stuck
		})
	})
	if m == nil {
		return nil
	}
	return &step{"kill " + m.Name() + " and promote a slave", nil, func(ctx context.Context) error {
		if err := m.Kill(ctx); err != nil {
			return err
		}
		s.w.gone(m, time.Now())
		return s.havoc.succeed(ctx, m.team, true)
	}}
}

// clear says that it is certain what a plusmoin started now must find. A
// cluster without a master is known only by slaves that have its last beat.
func (s *soak) clear() bool {
	for _, n := range s.w.servers {
		if !n.configured || n.barred || n.readOnly || n.paused || n.stuck {
			return false
		}
		if n.master && n.serves() && n.place != cluster.Master {
			return false
		}
		if !n.master && n.serves() && n.source() == nil && n.place != cluster.Slave {
			return false
		}
	}
	for _, t := range s.w.teams {
		if s.w.unripe(t) || t.master == nil && (t.last.team != t || t.last.answers() || len(s.w.kin(t)) == 0) {
			return false
		}
	}
	return true
}

// reborn says what a plusmoin that is started now must find: it knows what
// answers and what the rows say, and tells nothing but that it is up.
func (s *soak) reborn(ctx context.Context) error {
	w := s.w
	w.wants = nil
	clear(w.flaps)
	clear(s.judge.used)
	w.follow()
	w.wants = nil
	for _, n := range w.servers {
		n.split = false
		owner := n.team != nil && n.team.master == nil && n.team.last == n
		if !n.answers() && !owner {
			n.team, n.from, n.place = nil, nil, cluster.Clusterless
		}
		if n.answers() && !n.master && n.source() == nil {
			if err := s.checkRow(ctx, n); err != nil {
				return err
			}
		}
	}
	w.teams = slices.DeleteFunc(w.teams, func(t *team) bool { return len(w.members(t)) == 0 })
	for _, t := range w.teams {
		w.want(cluster.PlusmoinUp, t, nil)
	}
	return nil
}

// checkRow makes sure of what the model of a start builds on.
func (s *soak) checkRow(ctx context.Context, n *actor) error {
	row, err := n.heartbeat(ctx)
	if err == nil && (n.team == nil || row.id != strconv.Itoa(n.team.id)) {
		err = fmt.Errorf("the soak is wrong: %s is in no cluster %s", n.Name(), row.id)
	}
	return err
}
