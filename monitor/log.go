package monitor

import (
	"context"
	"log/slog"
	"runtime"

	"plusmoin/cluster"
)

// Log is a Listener that writes events and new warnings to a log. What an
// operator must act on is written at level error, since that is the default.
type Log struct {
	log    *slog.Logger
	warned map[cluster.Warning]bool
}

// NewLog returns a Log.
func NewLog(log *slog.Logger) *Log { return &Log{log: log} }

// Heard writes what changed, and at level debug that there was a round.
func (l *Log) Heard(s cluster.Snapshot, events []cluster.Event) {
	for _, e := range events {
		l.event(s, e)
	}
	warned := make(map[cluster.Warning]bool, len(s.Warnings))
	for _, w := range s.Warnings {
		warned[w] = true
		if !l.warned[w] {
			l.log.Error("warning", "kind", string(w.Kind), "cluster", w.Cluster, "node", w.Node, "text", w.Text)
		}
	}
	l.warned = warned
	l.log.Debug("round", "number", s.Round, "took", s.Took, "clusters", len(s.Clusters), "events", len(events),
		"goroutines", runtime.NumGoroutine())
}

// event writes one event with what is known of why its node is where it is.
func (l *Log) event(s cluster.Snapshot, e cluster.Event) {
	attrs := []slog.Attr{slog.Int64("event_id", e.ID), slog.Int("cluster", e.Cluster)}
	if e.Node != nil {
		name := cluster.Node{Host: e.Node.Host, Port: e.Node.Port}.String()
		attrs = append(attrs, slog.String("node", name))
		attrs = append(attrs, why(s.Nodes[name])...)
	}
	l.log.LogAttrs(context.Background(), level(e.Kind), string(e.Kind), attrs...)
}

func why(d cluster.Detail) []slog.Attr {
	var attrs []slog.Attr
	if d.Reason != nil {
		attrs = append(attrs, slog.String("reason", string(*d.Reason)))
	}
	if d.Error != nil {
		attrs = append(attrs, slog.String("error", *d.Error))
	}
	if d.Lag != nil {
		attrs = append(attrs, slog.Float64("lag", *d.Lag))
	}
	return attrs
}

// level is error for what an operator must act on, since error is the default
// level of the log.
func level(k cluster.Kind) slog.Level {
	switch k {
	case cluster.MasterDown, cluster.SlaveDown, cluster.ClusterSplit:
		return slog.LevelError
	case cluster.PlusmoinHeartbeat:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
