package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// story plays the steps and keeps what was measured.
type story struct {
	*stage
	out     *screen
	pause   time.Duration
	names   map[string]string // of the servers, by host:port
	began   time.Time
	figures []figure
	count   int // of events
}

// figure is how long something took.
type figure struct {
	cause   string
	kind    cluster.Kind
	noticed time.Duration // until the status file showed the node as suspect; 0: it never did
	told    time.Duration // until a trigger had been told
}

// step is a part of the story: what is done, why it matters, what comes of it.
type step struct {
	title string
	text  string
	do    func(context.Context) error
	cause string // what is done in a few words, to measure from
	outcome
	// epilogue returns what there is to say afterwards; nil if nothing.
	epilogue func(context.Context) (string, error)
}

func newStory(s *stage, out *screen, pause time.Duration) *story {
	names := map[string]string{}
	for _, server := range s.lab.Servers() {
		names[address(server)] = server.Name()
	}
	return &story{stage: s, out: out, pause: pause, names: names, began: time.Now()}
}

func address(s *pglab.Server) string {
	return cluster.Node{Host: s.Host(), Port: s.Port()}.String()
}

// tell plays all steps.
func (s *story) tell(ctx context.Context) error {
	out, err := s.db1.SQL(ctx, "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1); SHOW server_version")
	if err != nil {
		return err
	}
	version, _, _ := strings.Cut(out, " ") // what follows is the packager's
	s.out.prose(fmt.Sprintf("PostgreSQL %s runs: db1 at %s is a master, db2 at %s and db3 at %s are its slaves. "+
		"plusmoin is given these addresses and a trigger for every event: a shell script that appends what it reads to a file. "+
		"It looks once a second (heartbeat %d) and calls a node down when it has not answered for a second (fail_interval %d).",
		version, address(s.db1), address(s.db2), address(s.db3), heartbeat, failInterval))
	for i, step := range s.steps() {
		if err := s.play(ctx, i+1, step); err != nil {
			return err
		}
		if err := rest(ctx, s.pause); err != nil {
			return err
		}
	}
	return s.sumUp()
}

// play plays one step.
func (s *story) play(ctx context.Context, number int, p step) error {
	s.out.heading(fmt.Sprintf("%d. %s", number, p.title))
	s.out.prose(p.text)
	s.out.blank()
	began := time.Now()
	if s.plusmoin == nil {
		if err := s.start(); err != nil {
			return err
		}
	}
	r, err := s.await(ctx, p.do, p.outcome)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.count += len(r.told)
	s.showEvents(r, p, began)
	s.out.table(r.doc, s.names)
	if err != nil {
		s.showLog()
		return fmt.Errorf("step %d, %s: %w", number, p.title, err)
	}
	if p.epilogue == nil {
		return nil
	}
	text, err := p.epilogue(ctx)
	if err == nil {
		s.out.blank()
		s.out.prose(text)
	}
	return err
}

// showEvents shows what the triggers were told: the event that matters most
// with its JSON, the others by name.
func (s *story) showEvents(r report, p step, began time.Time) {
	for _, t := range r.told {
		after := fmt.Sprintf("%s after %s", seconds(t.at.Sub(began)), p.cause)
		if len(p.told) == 0 || t.event() != p.told[0] {
			s.out.event(t.event(), s.names, after)
			continue
		}
		f := figure{cause: p.cause, kind: t.Event, told: t.at.Sub(began)}
		noticed, ok := r.noticed[t.event().node]
		if down := t.Event == cluster.MasterDown || t.Event == cluster.SlaveDown; ok && down {
			f.noticed = noticed.Sub(began)
			after += fmt.Sprintf(", suspected after %s", seconds(f.noticed))
		}
		s.figures = append(s.figures, f)
		s.out.event(t.event(), s.names, after)
		s.out.payload(t.raw)
	}
	if len(r.told) == 0 {
		s.out.prose("No trigger is run.")
	}
	s.out.blank()
}

// event writes which trigger was run, and when.
func (s *screen) event(e event, names map[string]string, when string) {
	as := yellow
	switch e.kind {
	case cluster.MasterDown, cluster.SlaveDown:
		as = red
	case cluster.MasterUp, cluster.SlaveUp, cluster.PlusmoinUp, cluster.ClusterUp:
		as = green
	}
	about := fmt.Sprintf("cluster %d", e.cluster)
	if e.node != "" {
		about = names[e.node] + " in " + about
	}
	s.line("%strigger %s: %s, %s", margin, s.paint(string(e.kind), as), about, when)
}

// showLog shows what plusmoin logged last, for whoever looks for the fault.
func (s *story) showLog() {
	s.out.blank()
	s.out.prose("The end of plusmoin's log:")
	s.out.line("%s", s.log(15))
}

// sumUp ends the story. What came after the last step is seen here.
func (s *story) sumUp() error {
	late, err := s.trail.read()
	if err != nil {
		return err
	}
	if len(late) > 0 {
		return fmt.Errorf("plusmoin told what is no part of this: %s", late[0].event())
	}
	s.out.heading(fmt.Sprintf("The end, after %s: %d triggers were run, none was missing, none was wrong.",
		seconds(time.Since(s.began)), s.count))
	s.out.line("%s%s", margin, s.out.paint(fmt.Sprintf("%-32s %-14s %9s %9s", "measured from", "to", "suspected", "trigger"), dim))
	for _, f := range s.figures {
		noticed := "-"
		if f.noticed > 0 {
			noticed = seconds(f.noticed)
		}
		s.out.line("%s%-32s %-14s %9s %9s", margin, f.cause, f.kind, noticed, seconds(f.told))
	}
	s.out.blank()
	s.out.prose(fmt.Sprintf("A suspect becomes down only when it has failed for fail_interval, here %d s; with 0 the trigger is run at once.", failInterval))
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// rest lets a reader read.
func rest(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
