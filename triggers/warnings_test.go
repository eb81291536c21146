package triggers

import (
	"errors"
	"testing"
	"time"

	"plusmoin/cluster"
)

func TestFailuresAreBoundedAndForgotten(t *testing.T) {
	f := failures{}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fail := func(c int) {
		now = now.Add(time.Second)
		m := &trigger{event: cluster.Event{Kind: cluster.SlaveDown, Cluster: c}}
		f.note(m, nil, ending{err: errors.New("no")}, Settings{}, now)
	}
	for c := range 3 * failuresShown {
		fail(c)
	}
	if oldest := f.byAge()[0].cluster; len(f) != failuresShown || oldest != 2*failuresShown {
		t.Errorf("%d failures, the oldest of cluster %d", len(f), oldest)
	}
	fail(2 * failuresShown)
	if oldest := f.byAge()[0].cluster; len(f) != failuresShown || oldest != 2*failuresShown+1 {
		t.Errorf("%d failures, the oldest of cluster %d", len(f), oldest)
	}
	f.forget(now.Add(failureShown))
	if len(f) != 1 {
		t.Errorf("%d failures an hour after the last", len(f))
	}
	f.forget(now.Add(failureShown + time.Second))
	if len(f) != 0 {
		t.Errorf("%d failures later", len(f))
	}
}
