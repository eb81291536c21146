package status

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk stands for one that can hang: a write ends when it is let go.
type disk struct {
	got   []Document
	begun atomic.Int64
	let   chan error
}

func (d *disk) write(doc Document) error {
	d.begun.Add(1)
	err := <-d.let
	if err == nil {
		d.got = append(d.got, doc)
	}
	return err
}

func (d *disk) rounds() []uint64 {
	var rounds []uint64
	for _, doc := range d.got {
		rounds = append(rounds, doc.Round.Number)
	}
	return rounds
}

func numbered(n uint64) Document { return Document{State: Running, Round: Round{Number: n}} }

// timed returns how long f takes.
func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestAHangingDiskHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, book := newLog()
		d := &disk{let: make(chan error)}
		f := newFile("status.json", log, d.write)
		if took := timed(func() { f.Write(numbered(1)) }); took != time.Second {
			t.Errorf("the first Write waited %v", took)
		}
		for n := uint64(2); n <= 100; n++ {
			if took := timed(func() { f.Write(numbered(n)) }); took != 0 {
				t.Fatalf("Write waited %v for a disk known to hang", took)
			}
		}
		d.let <- nil
		d.let <- nil
		synctest.Wait()
		if got := d.rounds(); !slices.Equal(got, []uint64{1, 100}) {
			t.Errorf("rounds %v were written, want the one begun and the newest", got)
		}
		go func() { time.Sleep(time.Second / 2); d.let <- nil }()
		if took := timed(func() { f.Write(numbered(101)) }); took != time.Second/2 {
			t.Errorf("Write waited %v for a disk that is slow", took)
		}
		go func() { d.let <- nil }()
		f.Close()
		want := []string{"ERROR status file not written: not written within 1s", "INFO status file is written again"}
		if got := book.lines(t); !slices.Equal(got, want) {
			t.Errorf("log %q", got)
		}
	})
}

func TestNobodyWaitsForADocumentThatWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _ := newLog()
		d := &disk{let: make(chan error)}
		f := newFile("status.json", log, d.write)
		go f.Write(numbered(1))
		synctest.Wait()
		go func() { time.Sleep(time.Second / 10); f.Write(numbered(3)) }()
		if took := timed(func() { f.Write(numbered(2)) }); took != time.Second/10 {
			t.Errorf("Write waited %v", took)
		}
		close(d.let)
		f.Close()
	})
}

func TestADiskThatIsAlwaysLateIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, book := newLog()
		f := newFile("status.json", log, func(Document) error { time.Sleep(1500 * time.Millisecond); return nil })
		for n := range uint64(20) {
			f.Write(numbered(n))
			time.Sleep(time.Second)
		}
		if got := book.lines(t); len(got) != 1 {
			t.Errorf("log %q", got)
		}
		f.Close()
	})
}

func TestCloseWritesStoppedOnceAndLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _ := newLog()
		d := &disk{let: make(chan error)}
		f := newFile("status.json", log, d.write)
		f.Write(numbered(1)) // hangs
		f.Write(numbered(2))
		go func() { time.Sleep(time.Second / 10); close(d.let) }()
		stopped := time.Now()
		f.Close()
		f.Close()
		f.Write(numbered(3))
		synctest.Wait()
		if got := d.rounds(); !slices.Equal(got, []uint64{1, 2}) {
			t.Fatalf("rounds %v were written", got)
		}
		if last := d.got[1]; last.State != Stopped || !last.UpdatedAt.Equal(stopped) {
			t.Errorf("the last document is %s of %v", last.State, last.UpdatedAt)
		}
	})
}

func TestCloseGivesUpOnAHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, book := newLog()
		d := &disk{let: make(chan error)}
		f := newFile("status.json", log, d.write)
		f.Write(numbered(1))
		if took := timed(f.Close); took != lastPatience {
			t.Errorf("Close waited %v", took)
		}
		if got := book.lines(t); len(got) != 2 {
			t.Errorf("log %q", got)
		}
		d.let <- nil
		d.let <- nil
	})
}

func TestCloseWithoutADocumentWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, book := newLog()
		d := &disk{let: make(chan error)}
		newFile("status.json", log, d.write).Close()
		if d.begun.Load() != 0 || len(book.lines(t)) != 0 {
			t.Error("something was written or logged")
		}
	})
}

func TestAnErrorIsToldWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, book := newLog()
		var now error
		f := newFile("status.json", log, func(Document) error { return now })
		for _, now = range []error{
			nil, nil, errors.New("full"), errors.New("full"), errors.New("gone"), nil, nil, errors.New("full"), nil,
		} {
			f.Write(Document{})
		}
		want := []string{
			"ERROR status file not written: full", "ERROR status file not written: gone", "INFO status file is written again",
			"ERROR status file not written: full", "INFO status file is written again",
		}
		if got := book.lines(t); !slices.Equal(got, want) {
			t.Errorf("log %q", got)
		}
		if s := f.Stats(); s != (Stats{Written: 5, Failed: 4}) {
			t.Errorf("stats %+v", s)
		}
		f.Close()
	})
}
