package config

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones below, wherever the tests run
)

func TestHeartbeatNext(t *testing.T) {
	at := time.Date(2026, time.March, 1, 12, 0, 30, 250_000_000, time.UTC)
	for _, c := range []struct {
		spec     string
		interval time.Duration
		next     time.Time
	}{
		{`1.5`, 1500 * time.Millisecond, at.Add(1500 * time.Millisecond)},
		{`"@every 1.5s"`, 1500 * time.Millisecond, at.Add(1500 * time.Millisecond)},
		{`"2s"`, 2 * time.Second, at.Add(2 * time.Second)},
		{`" 500ms "`, 500 * time.Millisecond, at.Add(500 * time.Millisecond)},
		{`".5m"`, 30 * time.Second, at.Add(30 * time.Second)},
		{`"1h30m"`, 90 * time.Minute, at.Add(90 * time.Minute)},
		{`"* * * * *"`, time.Minute, time.Date(2026, time.March, 1, 12, 1, 0, 0, time.UTC)},
		{`"*/10 * * * * *"`, 10 * time.Second, time.Date(2026, time.March, 1, 12, 0, 40, 0, time.UTC)},
		{`"0,5,30 * * * *"`, 5 * time.Minute, time.Date(2026, time.March, 1, 12, 5, 0, 0, time.UTC)},
		{`"@hourly"`, time.Hour, time.Date(2026, time.March, 1, 13, 0, 0, 0, time.UTC)},
		{`"TZ=Europe/London 0 7 1 jul *"`, 365 * 24 * time.Hour, time.Date(2026, time.July, 1, 6, 0, 0, 0, time.UTC)},
		{`"TZ=Europe/London 0 0 * * *"`, 24 * time.Hour, time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC)},
		{`"TZ=Pacific/Apia 0 0 1 1 *"`, 365 * 24 * time.Hour, time.Date(2026, time.December, 31, 11, 0, 0, 0, time.UTC)},
		{`"0 0 29 2 *"`, 1461 * 24 * time.Hour, time.Date(2028, time.February, 29, 0, 0, 0, 0, time.UTC)},
	} {
		h := parse(t, with(`"heartbeat": `+c.spec)).Heartbeat
		if h.Interval != c.interval {
			t.Errorf("%s: interval %v, want %v", c.spec, h.Interval, c.interval)
		}
		if next := h.Next(at); !next.Equal(c.next) {
			t.Errorf("%s: next after %v is %v, want %v", c.spec, at, next, c.next)
		}
	}
}

// TestHeartbeatZone is about expressions without a zone: they are meant in
// that of the time asked with.
func TestHeartbeatZone(t *testing.T) {
	zone := time.FixedZone("east", 3*3600)
	h := parse(t, with(`"heartbeat": "0 6 * * *"`)).Heartbeat
	next := h.Next(time.Date(2026, time.March, 1, 5, 0, 0, 0, zone))
	if want := time.Date(2026, time.March, 1, 6, 0, 0, 0, zone); !next.Equal(want) {
		t.Errorf("next is %v, want %v", next, want)
	}
}

// TestHeartbeatFar asks when the cron library, which looks five years ahead,
// finds nothing.
func TestHeartbeatFar(t *testing.T) {
	h := parse(t, with(`"heartbeat": "0 0 29 2 *"`)).Heartbeat
	at := time.Date(2097, time.January, 1, 0, 0, 0, 0, time.UTC)
	if next := h.Next(at); !next.After(at) {
		t.Errorf("next after %v is %v", at, next)
	}
}

// TestHeartbeatWallClock is about times that must follow the wall clock when it
// is stepped, and so may not carry a monotonic reading.
func TestHeartbeatWallClock(t *testing.T) {
	h := parse(t, with(`"heartbeat": "* * * * * *"`)).Heartbeat
	if next := h.Next(time.Now()); next != next.Round(0) {
		t.Errorf("next %v has a monotonic reading", next)
	}
}

func TestHeartbeatString(t *testing.T) {
	for spec, want := range map[string]string{
		`60`: "1m0s", `"@every 1.5s"`: "1.5s", `" */5 * * * * "`: "*/5 * * * *",
	} {
		if got := parse(t, with(`"heartbeat": `+spec)).Heartbeat.String(); got != want {
			t.Errorf("%s reads %q, want %q", spec, got, want)
		}
	}
}
