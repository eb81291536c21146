package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/robfig/cron/v3"
)

// Heartbeat says when plusmoin wakes up: at a fixed interval or by a cron
// expression.
type Heartbeat struct {
	// Interval is the time between two heartbeats, above 0; for a cron
	// expression the smallest gap found between two of its times.
	Interval time.Duration

	cron string        // the expression, "" for a fixed interval
	plan cron.Schedule // nil for a fixed interval
}

// Next returns the time of the heartbeat after t, which is always later than t.
// A cron expression without a time zone is meant in that of t, and its times
// are those of the wall clock: they have no monotonic reading.
func (h Heartbeat) Next(t time.Time) time.Time {
	if h.plan == nil {
		return t.Add(h.Interval)
	}
	next := h.plan.Next(t)
	if !next.After(t) {
		// The schedule looks only five years ahead, which 29 February is
		// not always within.
		return t.Add(h.Interval)
	}
	return next
}

// String returns the cron expression or the interval.
func (h Heartbeat) String() string {
	if h.plan == nil {
		return h.Interval.String()
	}
	return h.cron
}

// heartbeat returns the schedule of a key, and the fallback also if it is
// wrong.
func (s *section) heartbeat(key string, fallback time.Duration) Heartbeat {
	if e, ok := s.take(key); ok {
		if h, ok := e.heartbeat(); ok {
			return h
		}
	}
	return Heartbeat{Interval: fallback}
}

// heartbeat returns e as a schedule: a number of seconds, or a string with a
// duration or a cron expression.
func (e element) heartbeat() (Heartbeat, bool) {
	if e.value.Kind() != '"' {
		d, ok := e.interval("a number of seconds or a schedule")
		return Heartbeat{Interval: d}, ok
	}
	spec, ok := e.text()
	if !ok {
		return Heartbeat{}, false
	}
	h, err := parseHeartbeat(spec)
	if err != nil {
		e.wrong("%v", err)
	}
	return h, err == nil
}

// parseHeartbeat reads a duration with units, with or without "@every", or a
// cron expression, which no duration looks like.
func parseHeartbeat(spec string) (Heartbeat, error) {
	spec = strings.TrimSpace(spec)
	if _, err := strconv.ParseFloat(spec, 64); err == nil {
		return Heartbeat{}, errors.New("write the number without quotes")
	}
	if every, ok := strings.CutPrefix(spec, "@every "); ok {
		return parseEvery(strings.TrimSpace(every))
	}
	if looksLikeDuration(spec) {
		return parseEvery(spec)
	}
	if err := checkCron(spec); err != nil {
		return Heartbeat{}, fmt.Errorf("%.60q is no schedule: %w", spec, err)
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom |
		cron.Month | cron.Dow | cron.Descriptor)
	plan, err := parser.Parse(spec)
	if err != nil {
		return Heartbeat{}, fmt.Errorf("%.60q is no schedule: %w", spec, err)
	}
	gap, ok := smallestGap(plan)
	if !ok {
		return Heartbeat{}, fmt.Errorf("%.60q never comes", spec)
	}
	return Heartbeat{Interval: gap, cron: spec, plan: plan}, nil
}

// looksLikeDuration reports whether spec is one word that begins as a number
// does, such as 2s, -1s or 2sec: nothing that cron knows.
func looksLikeDuration(spec string) bool {
	return spec != "" && strings.ContainsRune("+-.0123456789", rune(spec[0])) && !strings.ContainsFunc(spec, unicode.IsSpace)
}

// parseEvery reads a duration, which the cron library would round to whole
// seconds.
func parseEvery(text string) (Heartbeat, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return Heartbeat{}, fmt.Errorf("%.60q is no duration such as 1.5s or 2m", text)
	case d <= 0:
		return Heartbeat{}, errors.New("must be above 0")
	case d > maxSeconds*time.Second:
		return Heartbeat{}, fmt.Errorf("must be at most %d s", maxSeconds)
	}
	return Heartbeat{Interval: d}, nil
}

// checkCron refuses what the cron library panics on, or accepts and then
// searches years for.
func checkCron(spec string) error {
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		_, rest, ok := strings.Cut(spec, " ")
		if !ok {
			return errors.New("nothing follows the time zone")
		}
		spec = strings.TrimSpace(rest)
		if strings.HasPrefix(spec, "@every") {
			return errors.New("@every takes no time zone")
		}
	}
	for field := range strings.FieldsSeq(spec) {
		if strings.HasPrefix(field, ",") || strings.HasSuffix(field, ",") || strings.Contains(field, ",,") {
			return fmt.Errorf("nothing beside a comma in %q", field)
		}
	}
	return nil
}

// smallestGap returns the smallest time between two of the next hundred times
// of a plan, or false if there are not two. It looks from a fixed day on, so
// that what depends on it does not depend on when the file is read, and in UTC:
// the cron library never comes back from a day that a time zone left out.
func smallestGap(plan cron.Schedule) (time.Duration, bool) {
	if zoned, ok := plan.(*cron.SpecSchedule); ok {
		utc := *zoned
		utc.Location = time.UTC
		plan = &utc
	}
	var least time.Duration
	last := plan.Next(time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second))
	for range 100 {
		next := plan.Next(last)
		if last.IsZero() || !next.After(last) {
			break
		}
		if gap := next.Sub(last); least == 0 || gap < least {
			least = gap
		}
		last = next
	}
	return least, least > 0
}
