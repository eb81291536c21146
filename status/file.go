package status

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// patience is how long Write waits for the disk.
	patience = time.Second
	// lastPatience is how long Close does.
	lastPatience = 5 * time.Second
)

// Stats counts writes since NewFile.
type Stats struct {
	Written uint64
	Failed  uint64
}

// File keeps a status file up to date. Its methods may be called at any time
// from any goroutine.
type File struct {
	path  string
	log   *slog.Logger
	write func(Document) error // called by one goroutine only
	wake  chan struct{}        // there may be a next
	done  chan struct{}        // closed when all is written after Close

	mu     sync.Mutex
	next   *order    // the newest document that is not being written yet
	last   *Document // the newest of all
	closed bool
	// late says that Write has given up waiting and the write it waited for
	// is still not over: nobody need wait for that again.
	late    bool
	trouble string // as last logged, "" when all is well
	stats   Stats
}

// order is a document to be written.
type order struct {
	document Document
	over     chan struct{} // closed when it was written, failed or was replaced
}

// NewFile returns the file at path, which need not be there yet, nor its
// folder. Neither is touched before the first Write, but for a temporary file
// beside it that a killed process has left. It is an error if there is
// something at path that a file must not replace, such as a device.
func NewFile(path string, log *slog.Logger) (*File, error) {
	p, err := newPlace(path)
	if err != nil {
		return nil, fmt.Errorf("status file: %w", err)
	}
	return newFile(p.path, log, p.write), nil
}

func newFile(path string, log *slog.Logger, write func(Document) error) *File {
	f := &File{path: path, log: log, write: write, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go f.work()
	return f
}

// Write has the document written and waits for that, but for no longer than a
// second, and not at all while an earlier write hangs. Of the documents that
// come meanwhile only the newest is kept. The document and all it refers to
// must not be changed any more. After Close it does nothing.
func (f *File) Write(d Document) {
	over := f.order(d)
	if over == nil {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
		f.giveUp(over)
	}
}

// order puts d in the place of what was to be written next. It returns nil if
// it is not to be waited for.
func (f *File) order(d Document) (over <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.last = &d
	o := f.replaceNext(d)
	if f.late {
		return nil
	}
	return o.over
}

// replaceNext makes d the next document to be written. The caller holds mu.
func (f *File) replaceNext(d Document) *order {
	if f.next != nil {
		close(f.next.over)
	}
	f.next = &order{d, make(chan struct{})}
	select {
	case f.wake <- struct{}{}:
	default: // it is awake
	}
	return f.next
}

func (f *File) giveUp(over <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-over: // only just
	default:
		f.late = true
		f.tell("not written within " + patience.String())
	}
}

// Close writes the last document once more, as stopped, if there was one, and
// waits for that, but no longer than five seconds.
func (f *File) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		if f.last != nil {
			d := *f.last
			d.State, d.UpdatedAt = Stopped, time.Now().In(d.UpdatedAt.Location())
			f.replaceNext(d)
		}
		close(f.wake)
	}
	f.mu.Unlock()

	timer := time.NewTimer(lastPatience)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		f.log.Error("status file does not say stopped", "path", f.path, "error", "not written within "+lastPatience.String())
	}
}

// Stats returns the counts as they stand.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// work writes what is next until Close.
func (f *File) work() {
	defer close(f.done)
	for range f.wake {
		if o := f.take(); o != nil {
			f.finish(o, f.write(o.document))
		}
	}
}

func (f *File) take() *order {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.next
	f.next = nil
	return o
}

func (f *File) finish(o *order, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil:
		f.stats.Failed++
		f.tell(err.Error())
	case f.late: // well in the end, but all is well only when it is in time
		f.stats.Written++
	default:
		f.stats.Written++
		f.tell("")
	}
	f.late = false
	close(o.over)
}

// tell logs trouble when it is another than before, and its end. The caller
// holds mu.
func (f *File) tell(trouble string) {
	if trouble == f.trouble {
		return
	}
	f.trouble = trouble
	if trouble == "" {
		f.log.Info("status file is written again", "path", f.path)
		return
	}
	f.log.Error("status file not written", "path", f.path, "error", trouble)
}
