package main

import (
	"log/slog"
	"os"
	"time"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/status"
)

// keepPatience is how long an end waits for a disk that hangs.
const keepPatience = time.Second

// keeping is a file that this process holds.
type keeping interface {
	Keep() (made bool, err error)
	Release()
}

// kept is such a file, with its key in the configuration.
type kept struct {
	key, path string
	file      keeping
}

// hold is what a process has before it is at work.
type hold struct {
	files    []kept
	troubles []error // to be logged
}

// pidFile takes the pid file.
func (h *hold) pidFile(cfg config.Config) error {
	lock, err := daemon.Acquire(cfg.PidFile)
	if err != nil {
		return refusal(err)
	}
	h.files = append(h.files, kept{"pid_file", cfg.PidFile, lock})
	return nil
}

// status takes the right to write the status file.
func (h *hold) status(cfg config.Config, asDaemon bool) error {
	lock, trouble, err := acquireStatus(cfg, asDaemon)
	switch {
	case err != nil:
		return err
	case trouble != nil:
		h.troubles = append(h.troubles, trouble)
	}
	h.files = append(h.files, kept{"status_file", status.LockPath(cfg.StatusFile), &right{lock, cfg.StatusFile, asDaemon}})
	return nil
}

// right is the right to write a status file. Where the disk gave none at first it
// is taken as soon as it does.
type right struct {
	lock     *status.Lock // nil if there is none yet
	path     string
	asDaemon bool
}

// Keep does what keeping says, as does Release.
func (r *right) Keep() (made bool, err error) {
	if r.lock != nil {
		return r.lock.Keep()
	}
	r.lock, err = status.Acquire(r.path, r.asDaemon)
	return err == nil, err
}

// Release gives up the right if there is one.
func (r *right) Release() {
	if r.lock != nil {
		r.lock.Release()
	}
}

// release gives all of it up, the last first. The system does so too when the
// process has ended, so a disk that hangs need not be waited for.
func (h *hold) release() {
	within(keepPatience, func() {
		for i := len(h.files) - 1; i >= 0; i-- {
			h.files[i].file.Release()
		}
	})
}

// keeper sees at every round whether the files are still there.
type keeper struct {
	log   *slog.Logger
	files []kept
	wake  chan struct{}
	done  chan struct{}
}

func newKeeper(files []kept, log *slog.Logger) *keeper {
	k := &keeper{log: log, files: files, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go k.work()
	return k
}

// Heard lets the files be looked at. The round does not wait for it.
func (k *keeper) Heard(cluster.Snapshot, []cluster.Event) {
	select {
	case k.wake <- struct{}{}:
	default: // it is still looking
	}
}

func (k *keeper) close() {
	close(k.wake)
	within(keepPatience, func() { <-k.done })
}

func (k *keeper) work() {
	defer close(k.done)
	told := make([]string, len(k.files))
	for range k.wake {
		for i, f := range k.files {
			told[i] = k.look(f, told[i])
		}
	}
}

// look logs what became of a file, a trouble once. It returns the trouble.
func (k *keeper) look(f kept, told string) string {
	made, err := f.file.Keep()
	switch {
	case err != nil && err.Error() != told:
		k.log.Error("file was removed or replaced, and cannot be made",
			"key", f.key, "file", f.path, "pid", os.Getpid(), "error", err)
	case made:
		k.log.Error("file was removed or replaced: it was made anew", "key", f.key, "file", f.path)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// within runs f, but does not wait for it for longer than patience.
func within(patience time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
