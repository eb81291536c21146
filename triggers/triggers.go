// Package triggers runs the commands that an operator has configured for
// events: with the event as JSON on standard input, each in a process group of
// its own, under a deadline, and in an order that scripts can rely on.
//
// A trigger waits for the earlier ones of its cluster and for the earlier ones
// about its node. All others run side by side, up to a limit, those that have
// waited longest first.
//
//	runner := triggers.New(settings, log)
//	runner.Heard(snapshot, events)   // after every round; returns at once
//	runner.Close(time.Minute)
//
// The package hides processes: how they are fed, heard, ended and reaped. It
// never makes its caller wait for one, never drops a trigger that tells of a
// change while it is open, never puts a value into a command line, and never
// passes on the password of the database.
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
	// Commands are argument lists by event. A kind that is missing or has an
	// empty list runs nothing. A program without a slash is looked up in the
	// PATH of this process.
	Commands map[cluster.Kind][]string
	// Timeout is how long a command may run before its process group gets
	// SIGTERM, and Grace how much later it gets SIGKILL.
	Timeout time.Duration // 0: DefaultTimeout
	Grace   time.Duration // 0: DefaultGrace
	// Parallel is how many commands may run at once.
	Parallel int // 0: DefaultParallel
	// StatusFile is passed to commands as PLUSMOIN_STATUS_FILE.
	StatusFile string
	// Environ is the environment that commands get beside what tells them of
	// their event, as os.Environ gives it. Variables with a password of the
	// database are taken out.
	Environ []string
}

func (s Settings) completed() Settings {
	s.Commands = maps.Clone(s.Commands)
	s.Environ = withoutPasswords(s.Environ)
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
	log   *slog.Logger
	stop  chan struct{}  // closed when what still runs must end
	alive sync.WaitGroup // one for each command that runs

	mu       sync.Mutex
	settings Settings
	queue    queue
	stats    Stats // but for what the queue knows
	closed   bool  // takes no more
	stopped  bool  // starts no more
}

// New returns a Runner that has nothing to run yet.
func New(settings Settings, log *slog.Logger) *Runner {
	return &Runner{
		log: log, stop: make(chan struct{}),
		settings: settings.completed(), queue: newQueue(),
	}
}

// Heard queues the triggers of the events of one round, of which s is the
// snapshot, and returns without waiting for any. After Close it does nothing.
func (r *Runner) Heard(s cluster.Snapshot, events []cluster.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	round := newRound(s)
	for _, e := range events {
		if len(r.settings.Commands[e.Kind]) > 0 {
			r.queue.add(detached(e), round.view(e.Cluster))
		}
	}
	r.dispatch()
}

// Reconfigure makes settings hold for what starts from now on, also for what
// waits already: it runs the new command of its event, or nothing if there is
// none. What runs goes on as it was started.
func (r *Runner) Reconfigure(settings Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settings = settings.completed()
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
// have ended. If that takes longer than bound, it ends the process groups that
// still run, as at their timeout, and drops what waits. It returns when
// nothing runs any more, at the latest a Grace and a moment after bound.
func (r *Runner) Close(bound time.Duration) {
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
	for r.stats.Running < r.settings.Parallel {
		t := r.queue.next()
		if t == nil {
			return
		}
		argv := r.settings.Commands[t.event.Kind]
		switch {
		case r.stopped:
			r.drop(t)
		case len(argv) == 0:
			r.queue.finish(t)
		default:
			r.stats.Running++
			settings := r.settings
			r.alive.Go(func() { r.run(t, argv, settings) })
		}
	}
}

func (r *Runner) drop(t *trigger) {
	r.stats.Dropped++
	r.queue.finish(t)
	level := slog.LevelError
	if t.event.Kind == cluster.PlusmoinHeartbeat {
		level = slog.LevelDebug
	}
	r.logEvent(level, "trigger not run, plusmoin stops", t.event)
}

// run runs one trigger to its end and makes room for the next.
func (r *Runner) run(t *trigger, argv []string, s Settings) {
	began := time.Now()
	end := execute(t, argv, s, r.stop)
	r.report(t.event, end, time.Since(began))

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
	r.queue.finish(t)
	r.dispatch()
}

// execute gives the command of a trigger what it is to know and runs it.
func execute(t *trigger, argv []string, s Settings, stop <-chan struct{}) ending {
	stdin, err := t.payload()
	if err != nil {
		return ending{err: err}
	}
	t.view = nil // a hanging command needs it no more
	c := command{
		argv: argv, env: environ(s, t.event), stdin: stdin,
		timeout: s.Timeout, grace: s.Grace,
	}
	return c.run(stop)
}
