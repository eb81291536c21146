package monitor

import (
	"testing"
	"time"
)

func TestSteadyTimesDoNotFollowTheWallClock(t *testing.T) {
	begin := time.Now()
	want := begin.Add(time.Minute)
	for what, due := range map[string]time.Time{"interval": want, "schedule": want.Round(0)} {
		// Only with the same monotonic reading are they the same.
		if got := steady(begin, due); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}
