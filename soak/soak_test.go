//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"plusmoin/internal/pglab"
)

// soak is one run.
type soak struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	began  time.Time
	length time.Duration
	dir    string // of all evidence

	w        *world
	havoc    *havoc
	plusmoin *plusmoin
	reader   *reader
	pulse    *pulse
	judge    *judge
	figures  figures

	configured []string // as plusmoin knows them
	steps      int
	history    *os.File
}

func TestSoak(t *testing.T) {
	s := open(t)
	err := s.play(t.Context())
	trend, grows := s.figures.trend()
	if err == nil {
		err = grows
	}
	rounds, longest := s.pulse.figures()
	s.note("seed %d: %d actions in %v, %d rounds, longest pause %v, %d records, %d events, %d false, %d missing, %d late, latest %v, %d times excused; %s",
		s.seed, s.steps, time.Since(s.began).Round(time.Second), rounds, longest.Round(time.Millisecond),
		s.reader.all, s.judge.events, s.judge.falseOnes, s.judge.missing, s.judge.late, s.judge.latest.Round(time.Millisecond), s.w.excused, trend)
	if err != nil {
		s.note("failed: %v", err)
		s.keep()
		t.Errorf("%v\nrun it again with SOAK_SEED=%d; the evidence is in %s", err, s.seed, s.dir)
	}
}

// open starts the servers and plusmoin.
func open(t *testing.T) *soak {
	s := &soak{t: t, seed: seed(t), length: length(t), began: time.Now()}
	s.random = rand.New(rand.NewPCG(s.seed, 0))
	var err error
	s.dir, err = os.MkdirTemp("", "plusmoin-soak-")
	must(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(s.dir)
		}
	})
	s.history, err = os.Create(filepath.Join(s.dir, "history"))
	must(t, err)
	t.Cleanup(func() { s.history.Close() })
	s.plusmoin, err = newPlusmoin(s.dir)
	must(t, err)
	fleet, err := startFleet(s.dir, s.random)
	must(t, err)
	t.Cleanup(func() { must(t, fleet.Close()) })
	lab, err := pglab.Open(t.Context(), pglab.Options{Each: []pglab.Setting{pglab.Conf("wal_keep_size", "256MB")}})
	must(t, err)
	t.Cleanup(func() { must(t, lab.Close()) })
	s.w, err = build(t.Context(), lab, fleet)
	must(t, err)
	s.w.failInterval = time.Duration(2+s.random.IntN(4)) * time.Second / 2
	s.w.maxSync, s.w.recoverSync = 5*time.Second, 2*time.Second
	s.w.heartbeat = s.heartbeat()
	s.havoc = &havoc{w: s.w, random: s.random}
	s.figures.log, s.figures.nodes = s.plusmoin.file("plusmoin.log"), len(s.w.servers)
	s.reader = newReader(s.plusmoin.file("events.jsonl"))
	s.pulse = startPulse(s.plusmoin.file("status.json"), s.plusmoin.clock)
	t.Cleanup(s.pulse.stop)
	s.judge = &judge{
		w: s.w, reader: s.reader, pulse: s.pulse, clock: s.plusmoin.clock, used: map[int]bool{},
		told: func(text string) { s.note("    %s", text) },
	}
	t.Cleanup(func() { _ = s.plusmoin.kill() }) // it may have ended
	return s
}

// seed returns what decides about the havoc. A short run in passing makes the
// same each time: it shows that the soak works, a long one looks for mistakes.
func seed(t *testing.T) uint64 {
	text := os.Getenv("SOAK_SEED")
	switch {
	case text == "" && os.Getenv("SOAK") == "":
		return 1
	case text == "":
		return uint64(time.Now().UnixNano() % 1_000_000)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	must(t, err)
	return n
}

func length(t *testing.T) time.Duration {
	text := os.Getenv("SOAK")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	must(t, err)
	return d
}

// play makes havoc until the time is over.
func (s *soak) play(ctx context.Context) error {
	s.note("seed %d for %v, fail_interval %v, %s", s.seed, s.length, s.w.failInterval, s.w.cast())
	s.w.begin()
	s.configured = s.names()
	s.pulse.configured(s.configured)
	if err := errors.Join(s.plusmoin.setMode(wellMode), s.plusmoin.configure(s.w), s.reborn(ctx), s.plusmoin.start()); err != nil {
		return err
	}
	if err := s.awaitRounds(ctx); err != nil {
		return err
	}
	if err := s.judge.settle(ctx, s.alive); err != nil {
		return err
	}
	for s.began = time.Now(); time.Since(s.began) < s.length; {
		if err := s.turn(ctx); err != nil {
			return err
		}
	}
	s.pulse.rest()
	return s.plusmoin.stop()
}

// turn does something, or some things that have nothing to do with each other,
// and judges what is told of it.
func (s *soak) turn(ctx context.Context) error {
	s.w.begin()
	h := s.havoc
	h.fake = s.random.IntN(2) == 0
	kinds := h.kinds()
	if s.random.IntN(4) == 0 {
		kinds = s.operatorKinds()
	}
	first := draw(s.random, kinds)
	if first == nil {
		first = draw(s.random, h.kinds())
	}
	if first == nil {
		return sleep(ctx, 100*time.Millisecond) // what may be done is a matter of time
	}
	if err := s.perform(ctx, first); err != nil {
		return err
	}
	if len(first.teams) > 0 {
		if err := s.more(ctx); err != nil {
			return err
		}
	}
	return s.judge.settle(ctx, s.alive)
}

// more does more in the same turn: sometimes to a server, and to some of the
// fleet or, while plusmoin may be started anew, for which not much may be wrong,
// sometimes to all of the fleet what heals it.
func (s *soak) more(ctx context.Context) error {
	h := s.havoc
	h.fake = false
	kinds, times := h.kinds(), 0
	if s.random.IntN(3) == 0 {
		times = 1
	}
	if err := s.further(ctx, kinds, times); err != nil {
		return err
	}
	h.fake, times = true, s.random.IntN(7)
	if s.mayRestart() && s.random.IntN(3) == 0 {
		kinds, times = h.healing(), 3*fakeClusters
	}
	return s.further(ctx, kinds, times)
}

// further does a step so many times, if it is free.
func (s *soak) further(ctx context.Context, kinds []kind, times int) error {
	for range times {
		if a := draw(s.random, kinds); a != nil && s.w.free(a) {
			if err := s.perform(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin forgets the last step.
func (w *world) begin() {
	w.began = time.Now()
	w.wants = nil
	clear(w.flaps)
	clear(w.busy)
}

func (s *soak) perform(ctx context.Context, a *step) error {
	s.steps++
	s.note("%d %s", s.steps, a.text)
	for _, t := range a.teams {
		s.w.busy[t] = true
	}
	if err := a.do(ctx); err != nil {
		return fmt.Errorf("%s: %w", a.text, err)
	}
	s.w.matchSystems()
	if !s.havoc.fake {
		if err := s.w.measureStreams(ctx); err != nil {
			return fmt.Errorf("after %s: %w", a.text, err)
		}
	}
	s.w.follow()
	s.w.occupy()
	return nil
}

// occupy keeps from a second step all that the first has changed: the servers,
// which may be clusterless by now, and clusters founded just now. What is undone
// before plusmoin had a round to see it cannot be demanded.
func (w *world) occupy() {
	for _, e := range w.wants {
		w.busy[e.team] = true
		if e.node != nil {
			w.busy[e.node.team] = true
		}
	}
}

// free says that a step has nothing to do with what was done before.
func (w *world) free(s *step) bool {
	return !slices.ContainsFunc(s.teams, func(t *team) bool { return w.busy[t] })
}

// alive samples figures and tells when plusmoin has died.
func (s *soak) alive() error {
	if err := s.plusmoin.died(); err != nil {
		return err
	}
	return s.figures.sample(s.plusmoin.process.Pid)
}

// mayRestart says that plusmoin may be ended: in the first quarter only, so
// that the figures of the others are those of one process.
func (s *soak) mayRestart() bool { return time.Since(s.began) < s.length/4 }

func (w *world) cast() string {
	text := ""
	for _, n := range w.servers {
		text += n.Name() + "=" + n.address + " "
	}
	return text
}

// note writes a line of the history.
func (s *soak) note(format string, args ...any) {
	s.t.Helper()
	line := time.Now().Format(clock) + " " + fmt.Sprintf(format, args...)
	fmt.Fprintln(s.history, line)
	s.t.Log(line)
}

// keep adds the logs of the servers, and what all processes do, to the evidence.
func (s *soak) keep() {
	processes, err := exec.Command("ps", "-eo", "pid,ppid,stat,wchan:32,args").CombinedOutput()
	if err != nil {
		s.t.Log(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "processes"), processes, 0o644); err != nil {
		s.t.Log(err)
	}
	for _, n := range s.w.servers {
		if n.fake {
			continue
		}
		if err := os.WriteFile(filepath.Join(s.dir, n.Name()+".log"), []byte(n.Log()), 0o644); err != nil {
			s.t.Log(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
