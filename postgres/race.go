package postgres

import (
	"context"
	"errors"
	"slices"
	"time"
)

// way is what is remembered of a node between connects. It is used by one
// connect at a time.
type way struct {
	last address // where the last session was established
}

// ordered returns the addresses with the one that worked last in front.
func (w *way) ordered(list []address) []address {
	i := slices.Index(list, w.last)
	if i <= 0 {
		return list
	}
	return append([]address{w.last}, slices.Delete(slices.Clone(list), i, i+1)...)
}

// headStart is for how long an address is tried before the next one is tried
// beside it. One to which a connection was made has until its share of the time
// is over to let us in.
const headStart = 250 * time.Millisecond

// contest tries several addresses of one node. It belongs to one goroutine.
type contest struct {
	try     func(ctx context.Context, a address, reached func()) (*logon, error)
	left    []address
	pending int
	ended   chan result
	reached chan struct{}
	errs    []error
}

type result struct {
	at  address
	on  *logon
	err error
}

// race returns the first session that is established at one of the addresses,
// which are tried in order. All tries have ended when it returns.
func race(ctx context.Context, list []address, try func(context.Context, address, func()) (*logon, error)) (*logon, address, error) {
	if len(list) == 1 {
		on, err := try(ctx, list[0], func() {})
		return on, list[0], err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &contest{try: try, left: list, ended: make(chan result, len(list)), reached: make(chan struct{}, len(list))}
	winner := c.run(ctx)
	cancel()
	for ; c.pending > 0; c.pending-- {
		if r := <-c.ended; r.on != nil {
			r.on.raw.Close()
		}
	}
	if winner.on == nil {
		return nil, address{}, errors.Join(c.errs...)
	}
	return winner.on, winner.at, nil
}

func (c *contest) run(ctx context.Context) result {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			c.start(ctx)
			next.Reset(headStart)
		case <-c.reached:
			next.Reset(share(ctx, len(c.left)+1))
		case r := <-c.ended:
			c.pending--
			if r.err == nil {
				return r
			}
			c.errs = append(c.errs, r.err)
			if settled(r.err) || c.pending == 0 && len(c.left) == 0 {
				return result{}
			}
			next.Reset(0)
		}
	}
}

func (c *contest) start(ctx context.Context) {
	if len(c.left) == 0 {
		return
	}
	a := c.left[0]
	c.left = c.left[1:]
	c.pending++
	go func() {
		on, err := c.try(ctx, a, func() { c.reached <- struct{}{} })
		c.ended <- result{a, on, err}
	}()
}

// share returns the time until the deadline of ctx divided by n.
func share(ctx context.Context, n int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	return time.Until(deadline) / time.Duration(n)
}
