package main

import (
	"fmt"
	"time"

	"plusmoin/config"
	"plusmoin/postgres"
)

// wakeDelay is the most that passes between a dropped connection and the round
// that it asks for: rounds asked for that way keep that distance.
const wakeDelay = 100 * time.Millisecond

// delay is the longest that something takes to be told of.
type delay struct {
	what string
	most time.Duration
	how  string
}

// delaysOf computes how long plusmoin can take to tell of a failure, when all
// else is well and the machine it runs on keeps up.
//
// A node is down once it has failed for fail_interval, counted from the
// beginning of the first look that it failed; rounds begin early enough to tell
// at that moment, but none begins before that first look is over. It is over
// when the node has failed: at once, or after query_timeout if it is silent.
func delaysOf(cfg config.Config) []delay {
	beat := longestGap(cfg.Heartbeat, time.Now())
	silent := max(cfg.FailInterval, cfg.QueryTimeout)
	delays := []delay{
		{"crash", wakeDelay + cfg.FailInterval,
			"the dropped connection wakes plusmoin at once, then fail_interval"},
		{"frozen server", beat + silent,
			"heartbeat, then the longer of fail_interval and query_timeout"},
		{"vanished host", min(beat, postgres.HostTimeout+wakeDelay) + silent,
			"heartbeat, or keepalives after " + short(postgres.HostTimeout) + " if that is sooner; then as frozen"},
		{"slave that lags", 2*beat + cfg.MaxSyncDelay,
			"heartbeat until it lacks a beat, max_sync_delay, heartbeat until that is seen"},
	}
	for _, n := range cfg.Nodes {
		if n.OwnLimit && n.MaxSyncDelay != cfg.MaxSyncDelay {
			delays = append(delays, delay{"  " + n.Node.String(), 2*beat + n.MaxSyncDelay, "by its own max_sync_delay"})
		}
	}
	return delays
}

// longestGap returns the longest time between two of the next heartbeats.
func longestGap(h config.Heartbeat, from time.Time) time.Duration {
	longest := h.Interval
	for range 400 {
		next := h.Next(from)
		if gap := next.Sub(from); gap > longest {
			longest = gap
		}
		from = next
	}
	return longest
}

// short writes a duration in seconds, with a fraction only if there is one.
func short(d time.Duration) string {
	return fmt.Sprintf("%g s", float64(d.Round(10*time.Millisecond).Milliseconds())/1e3)
}
