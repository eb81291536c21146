// Package awake waits for time to pass in which this process runs.
package awake

import (
	"context"
	"math"
	"time"
)

// steps is how many parts a wait is counted in.
const steps = 10

// WithTimeout returns a context that ends after d of time in which this process
// ran, or earlier with ctx or the function returned, which must be called. A
// process that was stopped, or its machine, finds all its deadlines passed when
// it goes on, though nobody had a chance to do what was waited for: here only a
// tenth of d has passed, or two.
func WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	step, left := max(d/steps, 1), steps
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if left--; left == 0 || ctx.Err() != nil {
			cancel()
			return
		}
		timer.Reset(step) // only now: a step that was slept through counts once
	})
	timer.Reset(step)
	return ctx, func() {
		cancel()
		timer.Stop()
	}
}
