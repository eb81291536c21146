package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

// outcome is what a step of the story has to bring about, and all it may.
type outcome struct {
	told  []event    // each once, in any order; the first is the one to show
	maybe []event    // depending on how quick the machine is
	shown []standing // what the status file says in the end
}

// standing is the place of a node in the status file.
type standing struct {
	node    string
	place   cluster.Place
	cluster int
	follows string // of a slave: the master that its heartbeat row names
}

// report is what a step has brought about, as far as it went.
type report struct {
	told    []told
	noticed map[string]time.Time // when a node was first shown as suspect
	doc     status.Document      // the last seen
}

const (
	// patience is how long a step may take; most take a second or two, and
	// more only on a busy machine.
	patience = 45 * time.Second
	// glance is the time between two looks, and so the error of a measurement.
	glance = 2 * time.Millisecond
)

// await does something and waits for its outcome. It gives up at an event that
// is not of the outcome, when plusmoin ends, and after patience. The report is
// good for what there is in it, whatever the error.
func (s *stage) await(ctx context.Context, do func(context.Context) error, o outcome) (report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var doing sync.WaitGroup
	var done atomic.Bool
	doing.Go(func() {
		if err := do(ctx); err != nil {
			cancel(err)
		}
		done.Store(true)
	})
	defer doing.Wait()
	defer cancel(nil)

	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	r := report{noticed: map[string]time.Time{}}
	for {
		over := done.Load()
		if err := s.observe(&r); err != nil {
			return r, err
		}
		if e, ok := r.superfluous(o); ok {
			return r, fmt.Errorf("plusmoin told what is no part of this: %s", e)
		}
		missing := r.missing(o)
		if over && missing == "" {
			return r, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-s.plusmoin.done:
			return r, s.plusmoin.ended()
		case <-deadline.C:
			return r, fmt.Errorf("%v have passed without %s", patience, missing)
		}
	}
}

// observe adds to a report what there is to see now.
func (s *stage) observe(r *report) error {
	fresh, err := s.trail.read()
	r.told = append(r.told, fresh...)
	if err != nil {
		return err
	}
	if r.doc, err = s.look(); err != nil {
		return err
	}
	for name, detail := range r.doc.Nodes {
		if _, known := r.noticed[name]; detail.Suspect && !known {
			r.noticed[name] = time.Now()
		}
	}
	return nil
}

// superfluous returns the first event that is not of the outcome.
func (r report) superfluous(o outcome) (event, bool) {
	left := slices.Concat(o.told, o.maybe)
	for _, t := range r.told {
		i := slices.Index(left, t.event())
		if i < 0 {
			return t.event(), true
		}
		left = slices.Delete(left, i, i+1)
	}
	return event{}, false
}

// missing names what the outcome still lacks, "" if nothing.
func (r report) missing(o outcome) string {
	for _, e := range o.told {
		if _, ok := r.find(e); !ok {
			return e.String()
		}
	}
	for _, s := range o.shown {
		if !s.holds(r.doc) {
			return "the status file showing " + s.String()
		}
	}
	return ""
}

// find returns what was told of an event.
func (r report) find(e event) (told, bool) {
	i := slices.IndexFunc(r.told, func(t told) bool { return t.event() == e })
	if i < 0 {
		return told{}, false
	}
	return r.told[i], true
}

// holds reports whether a node stands there, as a slave with a known lag.
func (s standing) holds(doc status.Document) bool {
	for _, c := range doc.Clusters {
		if c.ID != s.cluster {
			continue
		}
		switch s.place {
		case cluster.Master:
			return entryName(c.Master) == s.node
		case cluster.Lost:
			return slices.ContainsFunc(c.Lost, s.is)
		case cluster.Slave:
			return slices.ContainsFunc(c.Slaves, s.is) && doc.Nodes[s.node].Lag != nil
		}
	}
	return false
}

func (s standing) is(e cluster.Entry) bool {
	return entryName(&e) == s.node && (s.follows == "" || s.follows == e.MasterName)
}

func (s standing) String() string {
	text := fmt.Sprintf("%s as %s in cluster %d", s.node, s.place, s.cluster)
	if s.follows != "" {
		text += ", following " + s.follows
	}
	return text
}

func (e event) String() string {
	if e.node == "" {
		return fmt.Sprintf("%s of cluster %d", e.kind, e.cluster)
	}
	return fmt.Sprintf("%s of %s in cluster %d", e.kind, e.node, e.cluster)
}
