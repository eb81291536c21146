package postgres

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// slots bound how many connects are under way, so that a thousand servers that
// come back together are not met by a thousand handshakes, of which none would
// be over in time. How many that are adapts to what succeeds, over all and for
// each host: one more with each success and half as many after a connect that
// was not over in time. Connects that are under way are never given up for that.
//
// What is bounded is the work that connects make, here and at the servers. One
// from which nothing has been heard for a while waits for a server or for the
// network and does not count until it is heard from: a thousand dead hosts keep
// nobody waiting. On a busy machine all are silent for longer, and so this while
// grows with what it usually takes until something is heard.
//
// Urgent connects go first, and others never have more than half of the slots.
// A host is what the node is configured with, a name or an address. The methods
// may be called from any goroutine.
type slots struct {
	mu      sync.Mutex
	all     window
	hosts   map[string]*window // those with a connect that waits or is under way, or that were cut
	waiting [2][]*slot         // urgent ones and patient ones, in the order in which they came
	patient int                // of those that count

	usual     time.Duration // what a connect takes that succeeds
	sign      time.Duration // and until something is heard from the server
	succeeded time.Time     // when one did last
}

const (
	// connectsAtOnce is the most that there can be, and connectsAtFirst how many
	// there are as long as nothing is known.
	connectsAtOnce  = 64
	connectsAtFirst = 32
	connectsAtLeast = 8
	hostAtFirst     = 16
	hostAtLeast     = 2

	// For how long a connect counts while its host does not answer at all, and
	// at least while the server does not.
	dialTime   = 100 * time.Millisecond
	silentTime = 500 * time.Millisecond
)

func newSlots() *slots {
	return &slots{
		all:   window{limit: connectsAtFirst, threshold: connectsAtOnce, least: connectsAtLeast},
		hosts: map[string]*window{},
	}
}

// slot is one connect, from when it is wanted until it is over. A nil slot is
// that of a connect which nobody bounds.
type slot struct {
	of      *slots
	host    string
	patient bool
	timeout time.Duration // of the connect
	given   chan struct{} // closed when the connect may begin

	// All below is guarded by of.mu.
	began   time.Time
	reached bool        // the host took the connection
	heard   bool        // and the server said something
	counted bool        // it makes work, as far as is known
	over    bool        // it has ended
	silence *time.Timer // until it does not count any more
}

// take waits until a connect to host may begin. Its timeout is what it may take
// from then on. The slot must be given back by a call of done.
func (s *slots) take(ctx context.Context, host string, urgent bool, timeout time.Duration) (*slot, error) {
	w := &slot{of: s, host: host, patient: !urgent, timeout: timeout, given: make(chan struct{})}
	s.mu.Lock()
	class := w.class()
	s.waiting[class] = append(s.waiting[class], w)
	s.give()
	s.mu.Unlock()
	select {
	case <-w.given:
		return w, nil
	case <-ctx.Done():
		return s.leave(w, ctx.Err())
	}
}

// leave ends the wait for a slot, unless it has just been given.
func (s *slots) leave(w *slot, err error) (*slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting[w.class()]
	i := slices.Index(waiting, w)
	if i < 0 {
		return w, nil
	}
	s.waiting[w.class()] = slices.Delete(waiting, i, i+1)
	s.forget(w.host)
	return nil, err
}

func (w *slot) class() int {
	if w.patient {
		return 1
	}
	return 0
}

// give lets begin what may begin. The caller holds mu, as for all below.
func (s *slots) give() {
	for s.all.room() {
		w := s.next()
		if w == nil {
			return
		}
		w.began = time.Now()
		w.silence = time.AfterFunc(s.patience(w.timeout), w.stall)
		s.count(w)
		close(w.given)
	}
}

// next takes the first off those that wait for a host with room.
func (s *slots) next() *slot {
	for class, waiting := range s.waiting {
		if class > 0 && s.patient >= max(1, int(s.all.limit)/2) {
			return nil
		}
		for i, w := range waiting {
			if s.host(w.host).room() {
				s.waiting[class] = slices.Delete(waiting, i, i+1)
				return w
			}
		}
	}
	return nil
}

func (s *slots) host(name string) *window {
	if s.hosts[name] == nil {
		s.hosts[name] = &window{limit: hostAtFirst, threshold: connectsAtOnce, least: hostAtLeast}
	}
	return s.hosts[name]
}

// forget drops what is not worth to be remembered of a host.
func (s *slots) forget(name string) {
	if w := s.hosts[name]; w != nil && w.count == 0 && w.limit >= hostAtFirst {
		delete(s.hosts, name)
	}
}

// patience is for how long a connect counts from which nothing is heard.
func (s *slots) patience(timeout time.Duration) time.Duration {
	return min(max(silentTime, 4*s.sign), timeout)
}

func (s *slots) count(w *slot)   { s.add(w, 1) }
func (s *slots) uncount(w *slot) { s.add(w, -1) }

func (s *slots) add(w *slot, n int) {
	if w.counted == (n > 0) {
		return
	}
	w.counted = n > 0
	s.all.count += n
	s.host(w.host).count += n
	if w.patient {
		s.patient += n
	}
}

// end ends a slot that was given.
func (s *slots) end(w *slot) {
	w.over = true
	w.silence.Stop()
	s.uncount(w)
	s.give()
}

// stall is called when nothing was heard for a while.
func (w *slot) stall() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if !w.over {
		w.of.uncount(w)
		w.of.give()
	}
}

// dialing says that the host is about to be asked for a connection.
func (w *slot) dialing() {
	if w == nil {
		return
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if !w.over && !w.reached {
		w.silence.Reset(dialTime)
	}
}

// watch says that the host took the connection, and listens to what comes.
func (w *slot) watch(conn net.Conn) net.Conn {
	if w == nil {
		return conn
	}
	w.alive(false)
	c := &watched{Conn: conn}
	c.slot.Store(w)
	return c
}

// alive says that there was a sign of the host, or of the server itself. It
// returns false when the connect is over and nobody cares any more.
func (w *slot) alive(server bool) bool {
	s := w.of
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.over {
		return false
	}
	if server && !w.heard {
		s.sign = smooth(s.sign, time.Since(w.began))
	}
	w.reached, w.heard = true, w.heard || server
	w.silence.Reset(s.patience(w.timeout))
	s.count(w)
	return true
}

// smooth returns what is usual, from what was and what is.
func smooth(usual, now time.Duration) time.Duration {
	if usual == 0 {
		return now
	}
	return usual + (now-usual)/4
}

// done gives the slot back and learns from how the connect ended.
func (w *slot) done(err error) {
	s := w.of
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	host := s.host(w.host)
	switch took := now.Sub(w.began); {
	case err == nil:
		s.usual = smooth(s.usual, took)
		s.succeeded = now
		if took < w.timeout/2 {
			s.all.grow()
			host.grow()
		}
	case late(err) && w.reached:
		host.cut(w.began, now)
		if s.usual > w.timeout/4 || now.Sub(s.succeeded) > w.timeout {
			s.all.cut(w.began, now)
			s.sign = max(s.sign, w.timeout/4)
		}
	}
	s.end(w)
	s.forget(w.host)
}

// strain says that connects which began by then take the time away from
// exchanges that may not take long.
func (s *slots) strain(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.cut(began, time.Now())
}

// window is how many connects may be under way.
type window struct {
	limit     float64
	threshold float64 // from where it grows slowly
	least     float64
	count     int
	last      time.Time // when it was cut
}

func (w *window) room() bool { return w.count < int(w.limit) }

// grow lets one more be under way, or one more after as many successes as there
// may be connects.
func (w *window) grow() {
	more := 1.0
	if w.limit >= w.threshold {
		more /= w.limit
	}
	w.limit = min(w.limit+more, connectsAtOnce)
}

// cut halves the limit after a connect that began then, once for all that were
// under way together.
func (w *window) cut(began, now time.Time) {
	if began.Before(w.last) {
		return
	}
	w.limit = max(w.limit/2, w.least)
	w.threshold, w.last = w.limit, now
}

// watched tells a slot of each sign of life, until the connect is over.
type watched struct {
	net.Conn
	slot atomic.Pointer[slot]
}

// Read reads from the connection.
func (c *watched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if w := c.slot.Load(); w != nil && n > 0 && !w.alive(true) {
		c.slot.Store(nil)
	}
	return n, err
}

// slotKey marks the context of a connect with its slot.
type slotKey struct{}

func (w *slot) in(ctx context.Context) context.Context { return context.WithValue(ctx, slotKey{}, w) }

// slotOf returns the slot of a connect, nil if it has none.
func slotOf(ctx context.Context) *slot {
	w, _ := ctx.Value(slotKey{}).(*slot)
	return w
}
