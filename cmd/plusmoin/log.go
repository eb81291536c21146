package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"plusmoin/config"
)

// logFormat is a slog.Handler whose level and format a reload can change.
type logFormat struct {
	text, json slog.Handler
	inJSON     *atomic.Bool
}

// newLog returns a log and what switches it to another format.
func newLog(out io.Writer, level slog.Leveler) (*slog.Logger, *atomic.Bool) {
	options := &slog.HandlerOptions{Level: level}
	f := logFormat{slog.NewTextHandler(out, options), slog.NewJSONHandler(out, options), new(atomic.Bool)}
	return slog.New(f), f.inJSON
}

func inJSON(cfg config.Config) bool { return cfg.LogFormat == config.FormatJSON }

func (f logFormat) current() slog.Handler {
	if f.inJSON.Load() {
		return f.json
	}
	return f.text
}

// Enabled does what slog.Handler says, as do the other methods.
func (f logFormat) Enabled(ctx context.Context, level slog.Level) bool {
	return f.text.Enabled(ctx, level)
}

// Handle writes a record in the format in force.
func (f logFormat) Handle(ctx context.Context, r slog.Record) error {
	return f.current().Handle(ctx, r)
}

// WithAttrs returns a handler that adds attributes in either format.
func (f logFormat) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logFormat{f.text.WithAttrs(attrs), f.json.WithAttrs(attrs), f.inJSON}
}

// WithGroup returns a handler that opens a group in either format.
func (f logFormat) WithGroup(name string) slog.Handler {
	return logFormat{f.text.WithGroup(name), f.json.WithGroup(name), f.inJSON}
}
