// Package demo tells on a terminal what plusmoin does, with real servers: a
// master and two slaves are started on this machine, plusmoin watches them as
// it would watch any others, and servers die, are promoted and come back. What
// is shown is what plusmoin's triggers read and what its status file says.
//
//	err := demo.Run(ctx, demo.Options{Program: "/usr/bin/plusmoin", Out: os.Stdout})
//
// Each step waits for the events it must cause, and no others: an event that
// does not come in time, or should not have come, is an error. So the demo is a
// test of plusmoin too.
//
// The package hides how servers and plusmoin are started, told apart and ended.
// It never touches a server it did not start, and leaves neither a process nor
// a file behind, however it ends, but for what package pglab keeps in the user's
// cache folder to be quicker the next time.
package demo

import (
	"context"
	"errors"
	"io"
	"time"
)

// Options of a demo.
type Options struct {
	Program string    // path of plusmoin
	Out     io.Writer // what is told goes here; errors of writing are passed over
	Width   int       // of Out in columns; 0 if it is no terminal
	Colour  bool      // whether Out takes colours
	Keep    bool      // leave all running at the end, until the context ends
	// Pause is the time a reader gets between two steps.
	Pause time.Duration
}

// Run tells the whole story, which takes about fifteen seconds beside the
// pauses. If ctx ends before the story does, its error is that of ctx; to end
// what is kept at the end is no error. The error wraps pglab.ErrNotInstalled if
// there is no PostgreSQL to show anything with. When Run returns, all it has
// started has ended and its folder is removed.
func Run(ctx context.Context, o Options) error {
	out := &screen{out: o.Out, width: o.Width, colour: o.Colour}
	stage, err := openStage(ctx, o.Program)
	if err != nil {
		return interruption(ctx, err)
	}
	err = perform(ctx, o, stage, out)
	out.blank()
	out.prose("Ending plusmoin and the servers, and removing their directory.")
	return errors.Join(err, stage.strike())
}

// perform tells the story on a stage that is still empty.
func perform(ctx context.Context, o Options, stage *stage, out *screen) error {
	out.heading("plusmoin demo: one master, two slaves, and who watches them")
	out.prose("Starting three PostgreSQL servers on this machine.")
	if err := stage.furnish(ctx); err != nil {
		return interruption(ctx, err)
	}
	s := newStory(stage, out, o.Pause)
	if err := s.tell(ctx); err != nil {
		return interruption(ctx, err)
	}
	if !o.Keep {
		return nil
	}
	if err := s.showCommands(ctx); err != nil {
		return interruption(ctx, err)
	}
	if err := s.showLive(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

// interruption returns why something failed: if ctx has ended, that is all
// there is to say.
func interruption(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
