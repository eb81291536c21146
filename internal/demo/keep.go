package demo

import (
	"context"
	"fmt"
	"time"
)

// suggestion is a command to try.
type suggestion struct{ what, command string }

// showCommands shows what can be tried on what is kept.
func (s *story) showCommands(ctx context.Context) error {
	for _, server := range s.lab.Servers() {
		h, err := homeOf(ctx, server)
		if err != nil {
			return err
		}
		s.homes = append(s.homes, h)
	}
	s.out.heading("All of it is left running. Try this in another terminal:")
	for _, try := range s.suggestions() {
		s.out.blank()
		s.out.prose(try.what + ":")
		s.out.line("%s", s.out.paint(try.command, cyan)) // whole, to be copied
	}
	s.out.blank()
	s.out.prose("Triggers are shown here as they are run. Ctrl-C ends it all and removes it.")
	return nil
}

// suggestions are meant to be tried in this order, as the last ones depend on
// it.
func (s *story) suggestions() []suggestion {
	db1, db2, db3 := s.homes[0], s.homes[1], s.homes[2]
	return []suggestion{
		{"See where the nodes stand", fmt.Sprintf("%s -c %s status --table", quote(s.program), quote(s.configFile()))},
		{"Read all that the triggers were told", "cat " + quote(s.eventsFile())},
		{"Read plusmoin's log", "cat " + quote(s.logFile())},
		{"Write on the master db2", db2.psql("INSERT INTO orders VALUES (3)")},
		{"See the stamp that a slave has", db3.psql("SELECT * FROM heartbeat")},
		{fmt.Sprintf("Have db3 lag: slave_down after %d s", maxSync), db3.psql("SELECT pg_wal_replay_pause()")},
		{"Let it catch up: slave_up", db3.psql("SELECT pg_wal_replay_resume()")},
		{"Kill the master: master_down", db2.kill()},
		{"Promote the slave db1: master_up", db1.promote()},
		{"Have db3 follow it", db3.follow(db2, db1)},
		{"Start db2 again, a stale master: cluster_split", db2.start()},
	}
}

// showLive shows events, and where the nodes stand after them, until ctx ends
// or plusmoin does.
func (s *story) showLive(ctx context.Context) error {
	for {
		events, err := s.trail.read()
		if err != nil {
			return err
		}
		for _, t := range events {
			s.out.blank()
			s.out.event(t.event(), s.names, "at "+t.Time.Local().Format(time.TimeOnly))
			s.out.payload(t.raw)
		}
		if len(events) > 0 {
			doc, err := s.look()
			if err != nil {
				return err
			}
			s.out.blank()
			s.out.table(doc, s.names)
		}
		if err := s.plusmoin.ended(); err != nil {
			s.showLog()
			return err
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
