package monitor

import (
	"context"
	"log/slog"
	"runtime"
	"slices"

	"plusmoin/cluster"
)

// Log is a Listener that writes events and warnings to a log. What an operator
// must act on is written at level error, since that is the default; and so is
// what ends it, or the log would tell of troubles only.
type Log struct {
	log    *slog.Logger
	warned map[subject]map[string]bool // the texts
	begun  bool                        // the start was over
}

// subject is what a warning is about. Its text may change while it lasts.
type subject struct {
	kind    cluster.WarningKind
	cluster int
	node    string
}

// NewLog returns a Log.
func NewLog(log *slog.Logger) *Log { return &Log{log: log} }

// Heard writes what changed, and at level debug that there was a round.
func (l *Log) Heard(s cluster.Snapshot, events []cluster.Event) {
	for _, e := range events {
		l.event(s, e)
	}
	if !s.Starting && !l.begun {
		l.begun = true
		l.start(s)
	}
	l.warnings(s.Warnings)
	l.log.Debug("round", "number", s.Round, "took", s.Took, "clusters", len(s.Clusters), "events", len(events),
		"goroutines", runtime.NumGoroutine())
}

// start writes it when the start has found nothing to watch over: no trigger
// tells that.
func (l *Log) start(s cluster.Snapshot) {
	if len(s.Clusters) > 0 || len(s.Nodes) == 0 {
		return
	}
	reasons := map[string]int{}
	for _, d := range s.Nodes {
		word := "answers"
		if d.Reason != nil {
			word = string(*d.Reason)
		}
		reasons[word]++
	}
	l.log.Error("no cluster found at start", "nodes", len(s.Nodes), "reasons", reasons)
}

// warnings writes what is warned of anew, and what no more. Of a warning that
// lasts, another text is no news at the level of errors.
func (l *Log) warnings(list []cluster.Warning) {
	warned := map[subject]map[string]bool{}
	for _, w := range list {
		about := subject{w.Kind, w.Cluster, w.Node}
		if warned[about] == nil {
			warned[about] = map[string]bool{}
		}
		warned[about][w.Text] = true
	}
	said := map[cluster.Warning]bool{}
	for _, w := range list {
		about := subject{w.Kind, w.Cluster, w.Node}
		if l.warned[about][w.Text] || said[w] {
			continue
		}
		said[w] = true
		level := slog.LevelError
		if len(warned[about]) <= len(l.warned[about]) {
			level = slog.LevelInfo
		}
		l.log.Log(context.Background(), level, "warning", "kind", string(w.Kind), "cluster", w.Cluster, "node", w.Node, "text", w.Text)
	}
	for about := range l.warned {
		if warned[about] == nil {
			l.log.Error("warning is over", "kind", string(about.kind), "cluster", about.cluster, "node", about.node)
		}
	}
	l.warned = warned
}

// event writes one event with what is known of why its node is where it is.
func (l *Log) event(s cluster.Snapshot, e cluster.Event) {
	attrs := []slog.Attr{slog.Int64("event_id", e.ID), slog.Int("cluster", e.Cluster)}
	if e.Node != nil {
		attrs = append(attrs, slog.String("node", name(e.Node)))
		attrs = append(attrs, why(s.Nodes[name(e.Node)])...)
	}
	if d := diagnosis(s, e.Cluster); d != "" && d != cluster.OK {
		attrs = append(attrs, slog.String("diagnosis", string(d)))
	}
	l.log.LogAttrs(context.Background(), level(s, e), string(e.Kind), attrs...)
}

// diagnosis returns the word for a cluster, "" if it is gone.
func diagnosis(s cluster.Snapshot, id int) cluster.Diagnosis {
	for i := range s.Clusters {
		if s.Clusters[i].ID == id {
			return s.Clusters[i].Diagnosis
		}
	}
	return ""
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

// level is error for what an operator must act on and for what ends it, since
// error is the default level of the log.
func level(s cluster.Snapshot, e cluster.Event) slog.Level {
	switch e.Kind {
	case cluster.MasterDown, cluster.SlaveDown, cluster.ClusterSplit,
		cluster.MasterUp, cluster.SlaveUp, cluster.ClusterUp, cluster.ClusterGone:
		return slog.LevelError
	case cluster.PlusmoinUp: // nothing else tells of a master that was down before
		if hasNoMaster(s, e.Cluster) {
			return slog.LevelError
		}
	case cluster.NodeLeft: // for another cluster, or for none
		if e.Node != nil && s.Nodes[name(e.Node)].State == cluster.Clusterless {
			return slog.LevelError
		}
	case cluster.PlusmoinHeartbeat:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func hasNoMaster(s cluster.Snapshot, id int) bool {
	return slices.ContainsFunc(s.Clusters, func(c cluster.Cluster) bool { return c.ID == id && !c.HasMaster })
}

func name(e *cluster.Entry) string { return cluster.Node{Host: e.Host, Port: e.Port}.String() }
