package triggers

import (
	"context"
	"log/slog"
	"time"

	"plusmoin/cluster"
)

// report logs how a trigger ended.
func (r *Runner) report(e cluster.Event, end ending, took time.Duration) {
	attrs := append(end.attrs(), slog.Duration("duration", took))
	switch {
	case end.ok():
		r.logEvent(slog.LevelDebug, "trigger done", e, attrs...)
	case end.err != nil:
		r.logEvent(slog.LevelError, "trigger not started", e, attrs...)
	case end.cut == timedOut:
		r.logEvent(slog.LevelError, "trigger timed out", e, attrs...)
	case end.cut == halted:
		r.logEvent(slog.LevelError, "trigger ended early, plusmoin stops", e, attrs...)
	default:
		r.logEvent(slog.LevelError, "trigger failed", e, attrs...)
	}
}

func (r *Runner) logEvent(level slog.Level, message string, e cluster.Event, more ...slog.Attr) {
	attrs := append([]slog.Attr{
		slog.String("event", string(e.Kind)),
		slog.Int64("event_id", e.ID),
		slog.Int("cluster", e.Cluster),
		slog.String("node", nodeName(e)),
	}, more...)
	r.log.LogAttrs(context.Background(), level, message, attrs...)
}

// nodeName returns host:port of the node that e is about, "" if it is about
// the cluster.
func nodeName(e cluster.Event) string {
	if e.Node == nil {
		return ""
	}
	return cluster.Node{Host: e.Node.Host, Port: e.Node.Port}.String()
}
