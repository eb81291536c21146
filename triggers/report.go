package triggers

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
)

// report logs how a trigger ended.
func (r *Runner) report(t *trigger, end ending, took time.Duration) {
	attrs := append(end.attrs(), slog.Duration("duration", took))
	switch {
	case end.ok():
		r.logTrigger(slog.LevelDebug, "trigger done", t, attrs...)
	case end.cut == timedOut:
		r.logTrigger(slog.LevelError, "trigger timed out", t, attrs...)
	case end.cut == halted:
		r.logTrigger(slog.LevelError, "trigger ended early, plusmoin stops", t, attrs...)
	case end.err != nil:
		r.logTrigger(slog.LevelError, "trigger not started", t, attrs...)
	default:
		r.logTrigger(slog.LevelError, "trigger failed", t, attrs...)
	}
	for _, s := range end.left {
		r.logTrigger(slog.LevelError, "process of a trigger not ended", t,
			slog.Int("pid", s.pid), slog.String("process", s.name), slog.Any("error", cmp.Or(s.err, errDeaf)))
	}
}

// errDeaf is why a process is there still that was sent SIGKILL.
var errDeaf = errors.New("does not die")

// why says in a few words that a process is left.
func (s survivor) why() string {
	if errors.Is(s.err, unix.EPERM) {
		return "may not be signalled"
	}
	return errDeaf.Error()
}

func (r *Runner) logTrigger(level slog.Level, message string, t *trigger, more ...slog.Attr) {
	attrs := []slog.Attr{
		slog.String("event", string(t.event.Kind)),
		slog.Int64("event_id", t.event.ID),
		slog.Int("cluster", t.event.Cluster),
		slog.String("node", nodeName(t.event)),
	}
	if t.lane != "" {
		attrs = append(attrs, slog.String("command", t.lane))
	}
	r.log.LogAttrs(context.Background(), level, message, append(attrs, more...)...)
}

// nodeName returns host:port of the node that e is about, "" if it is about
// the cluster.
func nodeName(e cluster.Event) string {
	if e.Node == nil {
		return ""
	}
	return cluster.Node{Host: e.Node.Host, Port: e.Node.Port}.String()
}
