//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

const (
	// patience is how long the world may take to be as it must: much longer
	// than it does on a machine of its own.
	patience = 40 * time.Second
	// quiet is how long nothing may be told then.
	quiet       = 1200 * time.Millisecond
	quietRounds = 2
	// alwaysWithin is how long a plusmoin_heartbeat may be wanting.
	alwaysWithin = 5 * time.Second
	// soon is how long after it is due an event is told on a machine that is
	// not too busy; later ones are counted.
	soon = 3 * time.Second
	// underWay is how long a look may have been under way when a server goes:
	// that it fails is counted from the beginning of the look.
	underWay = 100 * time.Millisecond
)

// judge holds what plusmoin tells against what must be told.
type judge struct {
	w      *world
	reader *reader
	pulse  *pulse
	clock  *wallClock
	used   map[int]bool // ids of this run of plusmoin
	told   func(string)

	events, late, falseOnes, missing int
	latest                           time.Duration // of all events, after it was due
}

// settle waits until all that must be told is, and the status file shows every
// node in its place, and then for a while in which nothing may happen.
func (j *judge) settle(ctx context.Context, alive func() error) error {
	deadline := time.Now().Add(patience)
	calm, calmRound := time.Time{}, uint64(0)
	for {
		if err := errors.Join(j.w.probe(ctx), j.hear()); err != nil {
			return err
		}
		doc, err := j.pulse.now()
		if err = errors.Join(err, alive(), ctx.Err()); err != nil {
			return err
		}
		unmet := j.unmet(doc)
		switch {
		case unmet == "" && calm.IsZero():
			calm, calmRound = time.Now(), doc.Round.Number
		case unmet == "" && time.Since(calm) > quiet && doc.Round.Number >= calmRound+quietRounds:
			return nil
		case unmet != "" && !calm.IsZero():
			calm = time.Time{}
		case unmet != "" && time.Now().After(deadline):
			j.missing++
			return fmt.Errorf("%v after: %s", patience, unmet)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hear judges the events that came.
func (j *judge) hear() error {
	events, err := j.reader.fresh()
	if err != nil {
		j.falseOnes++
		return err
	}
	for _, e := range events {
		j.events++
		e.Time = j.clock.right(e.Time, time.Now())
		j.told(j.prose(e))
		if err := j.accept(e); err != nil {
			j.falseOnes++
			return fmt.Errorf("%s (id %d, %s): %w", j.prose(e), e.EventID, e.Time.Format(clock), err)
		}
	}
	return nil
}

const clock = "15:04:05.000"

func (j *judge) prose(e cluster.Payload) string {
	text := fmt.Sprintf("%s %d", e.Event, e.ClusterID)
	if n := j.node(e); n != nil {
		text += " " + n.Name()
	}
	return text
}

func (j *judge) node(e cluster.Payload) *actor {
	if e.Trigger == nil {
		return nil
	}
	return j.w.byAddress(nameOf(*e.Trigger))
}

// accept finds what an event tells among what must, or may, be told.
func (j *judge) accept(e cluster.Payload) error {
	n := j.node(e)
	if up, may := j.w.flaps[n]; may && !up && j.flap(e, n) {
		return nil
	}
	for _, want := range j.w.wants {
		if want.met || want.node != n && n != nil {
			continue
		}
		if want.kind != e.Event || want.node != n || want.team.id != unborn && want.team.id != e.ClusterID {
			if n == nil || want.optional || j.flapped(e, n) {
				continue
			}
			return fmt.Errorf("false: what must be told of %s next is %s", n.Name(), want)
		}
		return j.meet(want, e)
	}
	if n != nil && j.flap(e, n) {
		return nil
	}
	return errors.New("false: nothing was done that this could tell of")
}

func (j *judge) meet(want *want, e cluster.Payload) error {
	want.met = true
	if want.team.id == unborn {
		if j.used[e.ClusterID] {
			return fmt.Errorf("false: the id %d of a new cluster was used before", e.ClusterID)
		}
		want.team.id = e.ClusterID
	}
	j.used[e.ClusterID] = true
	if early := want.notBefore.Sub(e.Time); early > underWay {
		return fmt.Errorf("false: %v too early", early)
	}
	if want.due.IsZero() {
		return nil
	}
	delay := e.Time.Sub(want.due)
	j.latest = max(j.latest, delay)
	if delay > soon {
		j.late++
		j.told(fmt.Sprintf("late: %v after it was due", delay))
	}
	return nil
}

// flapped says whether an event may be one half of going down and coming up.
func (j *judge) flapped(e cluster.Payload, n *actor) bool {
	_, may := j.w.flaps[n]
	up := e.Event == cluster.SlaveUp || e.Event == cluster.MasterUp
	down := e.Event == cluster.SlaveDown || e.Event == cluster.MasterDown
	return may && (up || down)
}

// flap takes in one half of going down, which is first, and coming up.
func (j *judge) flap(e cluster.Payload, n *actor) bool {
	if !j.flapped(e, n) || n.team == nil || n.team.id != e.ClusterID {
		return false
	}
	down := e.Event == cluster.SlaveDown || e.Event == cluster.MasterDown
	if j.w.flaps[n] != down { // true: it is up, and may go down
		return false
	}
	j.w.flaps[n] = !down
	return true
}

// unmet says what is not as it must be, "" if all is.
func (j *judge) unmet(doc status.Document) string {
	var list []string
	for _, want := range j.w.wants {
		if !want.met && !want.optional {
			list = append(list, "missing: "+want.String())
		}
	}
	for n, up := range j.w.flaps {
		if !up {
			list = append(list, n.Name()+" went down and did not come up")
		}
	}
	if pause := time.Since(j.reader.beaten); pause > alwaysWithin {
		list = append(list, fmt.Sprintf("missing: any plusmoin_heartbeat for %v", pause))
	}
	if doc.State != status.Running {
		list = append(list, "state is "+string(doc.State))
	}
	shown := j.shown(doc)
	for name, place := range j.w.picture() {
		if shown[name] != place {
			list = append(list, fmt.Sprintf("%s is shown as %q, must be %s", name, shown[name], place))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// shown is where the status file shows the nodes. A suspect is not settled.
func (j *judge) shown(doc status.Document) map[string]string {
	all := map[string]string{}
	for _, n := range j.w.servers {
		d, ok := doc.Nodes[n.address]
		if !ok {
			continue
		}
		all[n.Name()] = string(d.State)
		for _, c := range doc.Clusters {
			is := func(e cluster.Entry) bool { return nameOf(e) == n.address }
			if c.Master != nil && is(*c.Master) || slices.ContainsFunc(c.Slaves, is) || slices.ContainsFunc(c.Lost, is) {
				all[n.Name()] = fmt.Sprintf("%s of %d", d.State, c.ID)
			}
		}
		if d.Suspect {
			all[n.Name()] += ", suspect"
		}
	}
	return all
}
