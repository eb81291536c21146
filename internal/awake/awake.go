// Package awake waits for time to pass in which this process runs.
package awake

import (
	"context"
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
	ticker := time.NewTicker(max(d/steps, 1)) // it drops the ticks that nobody waited for
	go func() {
		defer cancel()
		defer ticker.Stop()
		for range steps {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}
