// Package awake waits for time to pass in which this process runs.
package awake

import (
	"context"
	"sync"
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
	w := &wait{ctx: ctx, cancel: cancel, left: steps, step: max(d/steps, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.step, w.pass)
	return ctx, func() {
		cancel()
		w.timer.Stop()
	}
}

// wait is a timeout under way.
type wait struct {
	ctx    context.Context
	cancel context.CancelFunc
	step   time.Duration

	mu    sync.Mutex
	timer *time.Timer
	left  int // steps
}

// pass is called when a step is over. Only then does the next begin, so that a
// step that was slept through counts once.
func (w *wait) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left--; w.left == 0 || w.ctx.Err() != nil {
		w.cancel()
		return
	}
	w.timer.Reset(w.step)
}
