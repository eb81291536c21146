package triggers

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
)

// failureShown is how long a failure is warned of unless the same trigger
// succeeds before. The next one of its kind may be months away.
const failureShown = time.Hour

// failuresShown is how many failures are warned of; the latest count.
const failuresShown = 100

// same is what makes two triggers the same in the eyes of an operator.
type same struct {
	kind    cluster.Kind
	lane    string
	cluster int
	node    string
}

// failures are the triggers that failed and have not succeeded since.
type failures map[same]failure

type failure struct {
	at   time.Time
	argv []string
	text string
}

// note remembers how a trigger ended at now. One that plusmoin ended in order
// to stop has not failed.
func (f failures) note(t *trigger, argv []string, end ending, s Settings, now time.Time) {
	key := same{t.event.Kind, t.lane, t.event.Cluster, nodeName(t.event)}
	switch {
	case end.ok():
		delete(f, key)
		return
	case end.cut == halted:
		return
	}
	f[key] = failure{now, argv, fmt.Sprintf("trigger %s failed at %s: %s; the log has more", title(t), clock(now), end.why(s))}
	f.forget(now)
	if len(f) > failuresShown {
		delete(f, f.byAge()[0])
	}
}

// forget forgets what is too old to be shown.
func (f failures) forget(now time.Time) {
	for key, failed := range f {
		if now.Sub(failed.at) > failureShown {
			delete(f, key)
		}
	}
}

// forgetOthers forgets the failures of commands that are not configured so any
// more.
func (f failures) forgetOthers(commands map[cluster.Kind]map[string][]string) {
	for key, failed := range f {
		if !slices.Equal(failed.argv, commands[key.kind][key.lane]) {
			delete(f, key)
		}
	}
}

func (f failures) byAge() []same {
	keys := make([]same, 0, len(f))
	for key := range f {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b same) int {
		return cmp.Or(f[a].at.Compare(f[b].at), cmp.Compare(a.cluster, b.cluster),
			cmp.Compare(a.kind, b.kind), cmp.Compare(a.node, b.node), cmp.Compare(a.lane, b.lane))
	})
	return keys
}

// why says in a few words why a trigger failed. What it wrote is left to the
// log, which fewer people can read.
func (e ending) why(s Settings) string {
	var text string
	switch {
	case e.cut == timedOut:
		text = fmt.Sprintf("timed out after %v", s.Timeout)
	case e.err != nil:
		return "not started: " + e.err.Error()
	default:
		text = fmt.Sprintf("exit code %d", e.state.ExitCode())
		if status, ok := e.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			text = "ended by " + unix.SignalName(status.Signal())
		}
	}
	for _, p := range e.left {
		text += fmt.Sprintf(", process %d (%s) %s", p.pid, p.name, p.why())
	}
	return text
}

// title names a trigger to an operator.
func title(t *trigger) string {
	var b strings.Builder
	b.WriteString(string(t.event.Kind))
	if t.lane != "" {
		fmt.Fprintf(&b, " %q", t.lane)
	}
	fmt.Fprintf(&b, " of cluster %d", t.event.Cluster)
	if node := nodeName(t.event); node != "" {
		fmt.Fprintf(&b, ", node %s,", node)
	}
	return b.String()
}

func clock(t time.Time) string { return t.Format(time.RFC3339) }

// Warnings returns what an operator should know of triggers now: those that
// failed, each until the same trigger (of the same event and name, for the same
// cluster and node) succeeds, its command is changed, or an hour is over; and
// those that have waited longer than Settings.Patience, while they do.
func (r *Runner) Warnings() []cluster.Warning {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.failures.forget(now)
	var list []cluster.Warning
	for _, key := range r.failures.byAge() {
		list = append(list, cluster.Warning{
			Kind: cluster.TriggerFailed, Cluster: key.cluster, Node: key.node, Text: r.failures[key].text,
		})
	}
	for _, t := range r.queue.late(now, r.settings.Patience) {
		list = append(list, cluster.Warning{
			Kind: cluster.TriggerWaiting, Cluster: t.event.Cluster, Node: nodeName(t.event),
			Text: fmt.Sprintf("trigger %s has waited since %s for %s", title(t), clock(t.came), blockerTitle(r.queue.blocker(t))),
		})
	}
	return list
}

func blockerTitle(t *trigger) string {
	switch {
	case t == nil:
		return "others to end, as many as may run at once do"
	case t.began.IsZero():
		return title(t) + " which waits too"
	}
	return title(t) + " which has run since " + clock(t.began)
}

// logLate tells of every cluster, once in each of its lanes, that a trigger of
// it waits for long, until none does.
func (r *Runner) logLate(now time.Time) {
	late := map[line]bool{}
	for _, t := range r.queue.late(now, r.settings.Patience) {
		late[t.home()] = true
		if r.late[t.home()] {
			continue
		}
		r.logTrigger(slog.LevelError, "trigger waits", t,
			slog.Duration("waited", now.Sub(t.came)), slog.String("for", blockerTitle(r.queue.blocker(t))))
	}
	r.late = late
}

// late returns the changes that have waited for longer than patience: of each
// cluster, in each lane, the one that has waited longest.
func (q *queue) late(now time.Time, patience time.Duration) []*trigger {
	var late []*trigger
	for l, all := range q.lines {
		if l.cluster == cluster.NoCluster {
			continue
		}
		for _, t := range all[:min(2, len(all))] { // the first may run
			if t.began.IsZero() && now.Sub(t.came) > patience {
				late = append(late, t)
				break
			}
		}
	}
	slices.SortFunc(late, func(a, b *trigger) int {
		return cmp.Or(cmp.Compare(a.event.Cluster, b.event.Cluster), cmp.Compare(a.lane, b.lane))
	})
	return late
}

// blocker returns what t waits for, nil if that is only a slot.
func (q *queue) blocker(t *trigger) *trigger {
	for _, l := range t.lines() {
		if first := q.lines[l][0]; first != t {
			return first
		}
	}
	return nil
}
