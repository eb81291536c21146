package pglab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// pause between two questions through psql, which itself takes some 20 ms.
const pause = 10 * time.Millisecond

// fillAsMaster gives a new server data of its own.
func (s *Server) fillAsMaster() error {
	err := copyData(s.lab.template, s.data(), s.lab.tools.who)
	if err == nil {
		err = newIdentity(s.data())
	}
	if err != nil {
		return fmt.Errorf("master %s: %w", s.name, err)
	}
	return nil
}

// fillAsSlave gives a new server the data of a master that never ran.
func (s *Server) fillAsSlave(of *Server) error {
	if err := copyData(of.data(), s.data(), s.lab.tools.who); err != nil {
		return fmt.Errorf("slave %s: %w", s.name, err)
	}
	return s.pointAt(of)
}

// pointAt makes a stopped server a slave at its next start.
func (s *Server) pointAt(of *Server) error {
	s.setUpstream(of)
	standby := filepath.Join(s.data(), "standby.signal")
	err := errors.Join(s.writeFiles(), os.WriteFile(standby, nil, 0o600), s.lab.tools.who.own(standby))
	if err != nil {
		return fmt.Errorf("slave %s of %s: %w", s.name, of.name, err)
	}
	return nil
}

func (s *Server) setUpstream(of *Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upstream = of
	if of == nil {
		return
	}
	s.spec.conf["primary_conninfo"] = fmt.Sprintf("host=%s port=%d user=%s application_name=%s sslmode=disable",
		of.Host(), of.Port(), replicator, s.name)
}

// awaitStreaming asks the upstream, since a slave without hot_standby does not
// answer.
func (s *Server) awaitStreaming(ctx context.Context, of *Server) error {
	return poll(ctx, pause, s.name+" streams from "+of.name, func(ctx context.Context) (bool, error) {
		n, err := of.SQL(ctx, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '"+s.name+"'")
		return n == "1", err
	})
}

// Promote makes a running slave a master and returns when it is out of
// recovery.
func (s *Server) Promote(ctx context.Context) error {
	if _, err := s.SQL(ctx, "SELECT pg_promote(false)"); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	s.setUpstream(nil)
	return poll(ctx, pause, "promote "+s.name, func(ctx context.Context) (bool, error) {
		slave, err := s.SQL(ctx, "SELECT pg_is_in_recovery()")
		return slave == "f", err
	})
}

// Follow makes the server a slave of another: a running slave changes its
// upstream by a reload, a running master is stopped and started, a stopped
// server is started. Nothing is rewound, so a server whose history has diverged
// answers, but never streams. Follow does not wait for streaming: see CatchUp.
func (s *Server) Follow(ctx context.Context, of *Server) error {
	if !s.Running() {
		return s.startAsSlave(ctx, of)
	}
	slave, err := s.SQL(ctx, "SELECT pg_is_in_recovery()")
	if err != nil {
		return fmt.Errorf("follow %s: %w", of.name, err)
	}
	if slave == "t" {
		s.setUpstream(of)
		if err := s.apply(ctx); err != nil {
			return fmt.Errorf("follow %s: %w", of.name, err)
		}
		return nil
	}
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.startAsSlave(ctx, of)
}

func (s *Server) startAsSlave(ctx context.Context, of *Server) error {
	if err := s.pointAt(of); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Rewind makes a server whose history has diverged from that of another, such
// as a former master, a slave of it with pg_rewind. It stops the server if it
// runs and returns when it streams. One that was killed has to be started
// first: pg_rewind wants a server that was shut down.
func (s *Server) Rewind(ctx context.Context, of *Server) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	// Until its first checkpoint a promoted server's control file names the
	// old timeline, and older versions of pg_rewind see nothing to do.
	if _, err := of.SQL(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("rewind %s: %w", s.name, err)
	}
	source := fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", of.SocketDir(), of.Port())
	_, err := s.lab.tools.run(ctx, "", "pg_rewind", "--no-sync", "--target-pgdata="+s.data(), "--source-server="+source)
	if err != nil {
		return fmt.Errorf("rewind %s: %w", s.name, err)
	}
	if err := s.startAsSlave(ctx, of); err != nil {
		return err
	}
	return s.awaitStreaming(ctx, of)
}

// Rebuild makes the server a slave of another, running one from a fresh copy
// of its data. It stops the server if it runs and returns when it streams.
func (s *Server) Rebuild(ctx context.Context, of *Server) error {
	if err := s.takeCopy(ctx, of); err != nil {
		return fmt.Errorf("rebuild %s: %w", s.name, err)
	}
	if err := s.startAsSlave(ctx, of); err != nil {
		return err
	}
	return s.awaitStreaming(ctx, of)
}

// Copy makes the server a master of its own with a fresh copy of another, running
// one's data. It stops the server if it runs and returns when it is ready.
func (s *Server) Copy(ctx context.Context, of *Server) error {
	if err := s.takeCopy(ctx, of); err != nil {
		return fmt.Errorf("copy %s: %w", s.name, err)
	}
	s.setUpstream(nil)
	return s.Start(ctx)
}

// Reinit makes the server a master with empty data and a system identifier of its
// own. It stops the server if it runs and returns when it is ready.
func (s *Server) Reinit(ctx context.Context) error {
	err := s.Stop(ctx)
	if err == nil {
		err = os.RemoveAll(s.data())
	}
	if err == nil {
		err = s.fillAsMaster()
	}
	if err != nil {
		return fmt.Errorf("reinit %s: %w", s.name, err)
	}
	s.setUpstream(nil)
	return s.Start(ctx)
}

// takeCopy stops the server and replaces its data by a copy of another's.
func (s *Server) takeCopy(ctx context.Context, of *Server) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	_, err := s.lab.tools.run(ctx, "", "pg_basebackup", append(of.connection(),
		"--pgdata="+s.data(), "--checkpoint=fast", "--wal-method=fetch", "--no-sync", "--no-manifest")...)
	return err
}

// CatchUp waits until a slave has replayed all that its upstream had written
// when called. Its upstream is the server it was last told to follow. Positions
// in the WAL are compared, so a slave that has diverged may pass.
func (s *Server) CatchUp(ctx context.Context) error {
	s.mu.Lock()
	of := s.upstream
	s.mu.Unlock()
	if of == nil {
		return fmt.Errorf("catch up: %s is no slave", s.name)
	}
	end, err := of.SQL(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END")
	if err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	return poll(ctx, pause, fmt.Sprintf("%s catches up with %s", s.name, of.name), func(ctx context.Context) (bool, error) {
		done, err := s.SQL(ctx, "SELECT pg_last_wal_replay_lsn() >= '"+end+"'")
		return done == "t", err
	})
}

// PauseReplay pauses replay on a slave, which goes on receiving, and returns
// when it has paused.
func (s *Server) PauseReplay(ctx context.Context) error {
	if _, err := s.SQL(ctx, "SELECT pg_wal_replay_pause()"); err != nil {
		return fmt.Errorf("pause replay: %w", err)
	}
	return poll(ctx, pause, "pause replay of "+s.name, func(ctx context.Context) (bool, error) {
		state, err := s.SQL(ctx, "SELECT pg_get_wal_replay_pause_state()")
		return state == "paused", err
	})
}

// ResumeReplay ends a pause.
func (s *Server) ResumeReplay(ctx context.Context) error {
	if _, err := s.SQL(ctx, "SELECT pg_wal_replay_resume()"); err != nil {
		return fmt.Errorf("resume replay: %w", err)
	}
	return nil
}
