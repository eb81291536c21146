package main

import (
	"slices"
	"sync"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

// board shows every round in the status file, together with what the rounds do
// not know: the version, the configuration in force, and what is wrong with
// triggers.
type board struct {
	file     *status.File
	warnings func() []cluster.Warning // besides those of the rounds

	mu  sync.Mutex
	doc status.Document
}

func newBoard(file *status.File, interval time.Duration, warnings func() []cluster.Warning) *board {
	now := time.Now()
	return &board{file: file, warnings: warnings, doc: status.Document{
		Version: versionText(), Heartbeat: interval.Seconds(), Config: status.Config{LoadedAt: now, TriedAt: now},
	}}
}

// Heard writes the snapshot of a round.
func (b *board) Heard(s cluster.Snapshot, _ []cluster.Event) {
	s.Warnings = slices.Concat(s.Warnings, b.warnings())
	b.mu.Lock()
	b.doc.Snapshot = s
	b.doc.State = status.Running
	if s.Starting {
		b.doc.State = status.Starting
	}
	b.doc.UpdatedAt = s.At
	b.doc.Round = status.Round{Number: s.Round, DurationMS: float64(s.Took.Microseconds()) / 1e3}
	doc := b.doc
	b.mu.Unlock()
	b.file.Write(doc)
}

// reloaded shows that another configuration is in force, but for the keys that
// need a restart.
func (b *board) reloaded(interval time.Duration, restart []string) {
	now := time.Now()
	b.change(func(doc *status.Document) {
		doc.Heartbeat = interval.Seconds()
		doc.Config = status.Config{LoadedAt: now, TriedAt: now, Restart: restart}
	})
}

// refused shows why the last reload changed nothing.
func (b *board) refused(err error) {
	text := err.Error()
	now := time.Now()
	b.change(func(doc *status.Document) { doc.Config.Error, doc.Config.TriedAt = &text, now })
}

func (b *board) change(edit func(*status.Document)) {
	b.mu.Lock()
	edit(&b.doc)
	doc := b.doc
	b.mu.Unlock()
	if doc.Round.Number > 0 {
		b.file.Write(doc)
	}
}
