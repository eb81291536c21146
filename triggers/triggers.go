// Package triggers runs the commands that an operator has configured for
// events: with the event as JSON on standard input, under a deadline, and in an
// order that scripts can rely on.
//
// An event may have several commands. Those of one name are a lane, and so are
// those without a name; no lane waits for another. In its lane a trigger waits
// for the earlier ones of its cluster and for the earlier ones about its node.
// All others run side by side, up to a limit, and clusters take turns. A
// heartbeat waits for the other triggers of its cluster, and nothing for it.
//
//	runner := triggers.New(settings, log)
//	runner.Heard(snapshot, events)   // after every round; returns at once
//	runner.Warnings()                // what failed, and what waits for long
//	runner.Close(time.Minute)
//
// The package hides processes: how they are fed, heard, found, ended and
// reaped. At its timeout a command is ended with all that it started, wherever
// that went: for that, this process adopts what its descendants leave without a
// parent. It never makes its caller wait for a command, never drops a trigger
// that tells of a change while it is open, never puts a value into a command
// line, and passes on nothing of the environment but a short list. There is at
// most one Runner in a process at a time.
package triggers

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"plusmoin/cluster"
)

// What a zero in Settings stands for.
const (
	DefaultTimeout  = time.Minute
	DefaultGrace    = 5 * time.Second
	DefaultParallel = 16
)

// Settings is what the configuration says of triggers. New and Reconfigure
// copy it.
type Settings struct {
	// Commands are argument lists by event and by name, which is "" for a
	// command without one. An empty list is no command. A program without a
	// slash is looked up in the PATH of this process.
	Commands map[cluster.Kind]map[string][]string
	// Timeout is how long a command may run before it and all that it started
	// get SIGTERM, and Grace how much later they get SIGKILL.
	Timeout time.Duration // 0: DefaultTimeout
	Grace   time.Duration // 0: DefaultGrace
	// Parallel is how many commands may run at once in each lane; heartbeats
	// count by themselves.
	Parallel int // 0: DefaultParallel
	// Patience is for how long a trigger may wait for another one before that
	// is a warning. It is a heartbeat, and counts as a second at least.
	Patience time.Duration
	// StatusFile is passed to commands as PLUSMOIN_STATUS_FILE.
	StatusFile string
	// Environ is the environment of this process, as os.Environ gives it. Only
	// PATH, TMPDIR, TZ and what tells the language are passed on.
	Environ []string
}

func (s Settings) completed() Settings {
	s.Commands = maps.Clone(s.Commands)
	s.Environ = inherited(s.Environ)
	s.Patience = max(s.Patience, time.Second)
	if s.Timeout <= 0 {
		s.Timeout = DefaultTimeout
	}
	if s.Grace <= 0 {
		s.Grace = DefaultGrace
	}
	if s.Parallel <= 0 {
		s.Parallel = DefaultParallel
	}
	return s
}

// Stats counts triggers since New.
type Stats struct {
	Run                uint64 // ended, whatever the outcome
	Failed             uint64 // of those: not started, not ended by exit status 0, or cut short
	TimedOut           uint64 // of those: at their timeout
	HeartbeatsReplaced uint64 // plusmoin_heartbeat, by a newer one while they waited
	Dropped            uint64 // still waiting when the bound of Close was over
	Queued             int    // waiting now
	Running            int    // running now
}

// Runner runs triggers. All its methods may be called at any time from any
// goroutine.
type Runner struct {
	log    *slog.Logger
	stop   chan struct{}  // closed when what still runs must end
	alive  sync.WaitGroup // one for each command that runs
	reaper *reaper
	reaps  func() // ends the reaper and waits for it

	mu       sync.Mutex
	settings Settings
	queue    queue
	failures failures
	late     map[line]bool // the lines of which the log says that a trigger waits
	stats    Stats         // but for what the queue knows
	closed   bool          // takes no more
	stopped  bool          // starts no more
}

// New returns a Runner that has nothing to run yet. Until it is closed, this
// process adopts and reaps what its descendants leave without a parent.
func New(settings Settings, log *slog.Logger) *Runner {
	r := &Runner{
		log: log, stop: make(chan struct{}), reaper: newReaper(log),
		settings: settings.completed(), queue: newQueue(), failures: failures{}, late: map[line]bool{},
	}
	var reaping sync.WaitGroup
	end := make(chan struct{})
	reaping.Go(func() { r.reaper.run(end) })
	r.reaps = sync.OnceFunc(func() {
		close(end)
		reaping.Wait()
	})
	return r
}

// Heard queues the triggers of the events of one round, of which s is the
// snapshot, and returns without waiting for any. After Close it does nothing.
func (r *Runner) Heard(s cluster.Snapshot, events []cluster.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	round, now := newRound(s), time.Now()
	for _, e := range events {
		for name, argv := range r.settings.Commands[e.Kind] {
			if len(argv) > 0 {
				r.queue.add(name, detached(e), round.view(e.Cluster), now)
			}
		}
	}
	r.dispatch()
	r.logLate(now)
}

// Reconfigure makes settings hold for what starts from now on, also for what
// waits already: it runs the new command of its event and name, or nothing if
// there is none. What runs goes on as it was started. The failures of a command
// that is another now are no warning any more.
func (r *Runner) Reconfigure(settings Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settings = settings.completed()
	r.failures.forgetOthers(r.settings.Commands)
	r.dispatch()
}

// Stats returns the counts as they stand.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.HeartbeatsReplaced, s.Queued = r.queue.replaced, r.queue.waiting
	return s
}

// Close takes no more events and waits until all triggers that run or wait
// have ended. If that takes longer than bound, it ends what still runs, as at
// its timeout, and drops what waits. It returns when nothing runs any more but
// what cannot be ended, at the latest a Grace and a moment after bound.
func (r *Runner) Close(bound time.Duration) {
	defer r.reaps()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()

	idle := make(chan struct{})
	go func() {
		defer close(idle)
		r.alive.Wait()
	}()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-idle:
		return
	case <-timer.C:
	}
	r.halt()
	<-idle
}

// halt has everything that runs end, and nothing started after it.
func (r *Runner) halt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	r.stopped = true
	close(r.stop)
	r.dispatch()
}

// dispatch starts what may start. While anything waits, something runs, and
// whatever ends calls it again: so nothing is forgotten. The caller holds mu.
func (r *Runner) dispatch() {
	for {
		t := r.queue.next(r.settings.Parallel)
		if t == nil {
			return
		}
		argv := r.settings.Commands[t.event.Kind][t.lane]
		switch {
		case r.stopped:
			r.drop(t)
		case len(argv) == 0:
			r.queue.finish(t)
			r.logTrigger(slog.LevelInfo, "trigger not run, it has no command any more", t)
		default:
			r.stats.Running++
			t.began = time.Now()
			settings := r.settings
			r.alive.Go(func() { r.run(t, argv, settings) })
		}
	}
}

func (r *Runner) drop(t *trigger) {
	r.stats.Dropped++
	r.queue.finish(t)
	level := slog.LevelError
	if t.beat() {
		level = slog.LevelDebug
	}
	r.logTrigger(level, "trigger not run, plusmoin stops", t)
}

// run runs one trigger to its end and makes room for the next.
func (r *Runner) run(t *trigger, argv []string, s Settings) {
	end := r.execute(t, argv, s)
	r.report(t, end, time.Since(t.began))

	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Running--
	r.stats.Run++
	if !end.ok() {
		r.stats.Failed++
	}
	if end.cut == timedOut {
		r.stats.TimedOut++
	}
	r.failures.note(t, argv, end, s, time.Now())
	r.queue.finish(t)
	r.dispatch()
}

// execute gives the command of a trigger what it is to know and runs it.
func (r *Runner) execute(t *trigger, argv []string, s Settings) ending {
	payload := t.payload()
	stdin, err := encode(payload)
	if err != nil {
		return ending{err: err}
	}
	t.view = nil // a hanging command needs it no more
	c := command{
		argv: argv, env: environ(s, payload), stdin: stdin,
		timeout: s.Timeout, grace: s.Grace,
	}
	return c.run(r.reaper, r.stop)
}
