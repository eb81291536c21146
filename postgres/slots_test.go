package postgres

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const slotTimeout = 2 * time.Second

// begun takes a slot that must be there at once.
func begun(t *testing.T, s *slots, host string, urgent bool) *slot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	w, err := s.take(ctx, host, urgent, slotTimeout)
	if err != nil {
		t.Fatalf("no slot for %s", host)
	}
	return w
}

// full tells whether there is no slot.
func full(t *testing.T, s *slots, host string, urgent bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	w, err := s.take(ctx, host, urgent, slotTimeout)
	if err == nil {
		w.done(context.Canceled)
	}
	return err != nil
}

// takeAll takes all slots there are, each for a host of its own, and connects them.
func takeAll(t *testing.T, s *slots) (all []*slot) {
	t.Helper()
	for i := range connectsAtOnce + 1 {
		host := fmt.Sprint("h", i)
		if full(t, s, host, true) {
			return all
		}
		w := begun(t, s, host, true)
		w.alive(true)
		all = append(all, w)
	}
	t.Fatal("there is no end of slots")
	return nil
}

// A connect counts for as long as something is heard from its server, however
// long it takes, and for a moment without.
func TestSlotsOfTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots()
		all := takeAll(t, s)
		if len(all) != connectsAtFirst {
			t.Errorf("%d connects at once", len(all))
		}
		for range 10 {
			time.Sleep(silentTime - time.Millisecond)
			for _, w := range all {
				w.alive(true)
			}
		}
		if !full(t, s, "another", true) {
			t.Error("connects that go on keep no slots")
		}
		time.Sleep(silentTime)
		synctest.Wait()
		silentOnes := all
		if all = takeAll(t, s); len(all) != connectsAtFirst {
			t.Errorf("%d slots beside connects that are silent", len(all))
		}
		for _, w := range silentOnes { // they count again
			w.alive(true)
		}
		for _, w := range all {
			w.done(context.Canceled)
		}
		if !full(t, s, "another", true) {
			t.Error("connects that speak again keep no slots")
		}
		for _, w := range silentOnes {
			w.done(nil)
		}
		if s.all.count != 0 || s.patient != 0 || len(s.hosts) != 0 {
			t.Errorf("left: %d of %v", s.all.count, s.hosts)
		}
	})
}

// A host that does not take the connection keeps its slot for a moment only.
func TestSlotsOfDeadHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots()
		began := time.Now()
		for i := range 1000 {
			w, err := s.take(t.Context(), fmt.Sprint("h", i), true, slotTimeout)
			must(t, err)
			w.dialing()
			time.AfterFunc(slotTimeout, func() { w.done(context.DeadlineExceeded) })
		}
		if took := time.Since(began); took > 1000/connectsAtFirst*dialTime+dialTime {
			t.Errorf("a thousand dead hosts take %v", took)
		}
		time.Sleep(slotTimeout)
		synctest.Wait()
		if s.all.limit != connectsAtFirst {
			t.Errorf("they are taken for a sign that there is too much to do: %v", s.all)
		}
	})
}

// Urgent connects go first, and the others never have more than half.
func TestSlotsOfTheUrgent(t *testing.T) {
	s := newSlots()
	for i := range connectsAtFirst / 2 {
		begun(t, s, fmt.Sprint("p", i), false).alive(true)
	}
	if !full(t, s, "p", false) {
		t.Error("patient connects have more than half")
	}
	given := make(chan string)
	wait := func(host string, urgent bool, class int) {
		go func() {
			if _, err := s.take(t.Context(), host, urgent, slotTimeout); err == nil {
				given <- host
			}
		}()
		until(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.waiting[class]) == 1 }, func() {})
	}
	first := begun(t, s, "first", true)
	for i := range connectsAtFirst/2 - 1 {
		begun(t, s, fmt.Sprint("u", i), true)
	}
	wait("patient", false, 1)
	wait("urgent", true, 0)
	first.done(nil)
	if host := <-given; host != "urgent" {
		t.Errorf("%s went first", host)
	}
}

// One host has only its share, and one that is not done in time has less.
func TestSlotsOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots()
		other := begun(t, s, "other", true)
		other.done(nil) // the fault is not here
		var all []*slot
		for range hostAtFirst {
			all = append(all, begun(t, s, "one", true))
		}
		if !full(t, s, "one", true) || full(t, s, "other", true) {
			t.Error("one host has more than its share")
		}
		time.Sleep(slotTimeout / 2)
		begun(t, s, "other", true).done(nil)
		time.Sleep(slotTimeout / 2)
		for _, w := range all {
			w.alive(true)
			w.done(context.DeadlineExceeded)
		}
		for range hostAtFirst / 2 { // halved once, for they were under way together
			begun(t, s, "one", true)
		}
		if !full(t, s, "one", true) || s.all.limit < connectsAtFirst {
			t.Errorf("host %v, all %v", s.hosts["one"], s.all)
		}
	})
}

// mill is a machine that does the work of all connects in turn: as long as there
// are few, each is done soon; if there are too many, none is in time.
type mill struct {
	work time.Duration // for one connect
	busy atomic.Int64  // connects under way
	most atomic.Int64
}

// serve does what there is to be done for one connect, and returns whether that
// took no longer than it may.
func (m *mill) serve(w *slot) error {
	now := m.busy.Add(1)
	defer m.busy.Add(-1)
	for most := m.most.Load(); now > most && !m.most.CompareAndSwap(most, now); most = m.most.Load() {
	}
	const parts = 20
	for began, part := time.Now(), 0; part < parts; part++ {
		time.Sleep(m.work / parts * time.Duration(m.busy.Load()))
		if time.Since(began) > slotTimeout {
			return context.DeadlineExceeded
		}
		w.alive(true)
	}
	return nil
}

// A thousand connects to a machine that can do few at once in time are all made,
// and nearly all at the first try: without the adapting none is.
func TestSlotsAdapt(t *testing.T) {
	for _, work := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(work.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const count = 1000
				s, m := newSlots(), &mill{work: work}
				var failures atomic.Int64
				done := make(chan bool)
				began := time.Now()
				for i := range count {
					go func() {
						defer func() { done <- true }()
						for time.Since(began) < 3*count*work+time.Minute {
							w, _ := s.take(t.Context(), fmt.Sprint("h", i), true, slotTimeout)
							err := m.serve(w)
							w.done(err)
							if err == nil {
								break
							}
							failures.Add(1)
						}
					}()
				}
				for range count {
					<-done
				}
				took := time.Since(began)
				t.Logf("%v of work, done in %v, %d in vain, at most %d at once", count*work, took, failures.Load(), m.most.Load())
				if failures.Load() > count/10 || took > 2*count*work+10*time.Second {
					t.Errorf("%d in vain, took %v for %v of work", failures.Load(), took, count*work)
				}
			})
		})
	}
}

// The watch on a connection ends with the connect.
func TestSlotIsLetGo(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		theirs.Write([]byte("some"))
		theirs.Write([]byte("more"))
	}()
	s := newSlots()
	w := begun(t, s, "h", true)
	conn := w.watch(ours).(*watched)
	var buffer [4]byte
	conn.Read(buffer[:])
	if conn.slot.Load() != w || !w.heard || s.sign == 0 {
		t.Error("a sign of life is not heard")
	}
	w.done(nil)
	conn.Read(buffer[:])
	if conn.slot.Load() != nil {
		t.Error("the slot is kept for the life of the connection")
	}
}
