package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/monitor"
	"plusmoin/postgres"
	"plusmoin/statefile"
	"plusmoin/status"
	"plusmoin/triggers"
)

// triggersBound is how long running triggers may go on when plusmoin is
// stopped. With the grace they are given after it a stop takes less than ten
// seconds, which is when a container engine would kill.
const triggersBound = 3 * time.Second

// outlet is where the log goes.
type outlet struct {
	io.Writer
	divert func(path string) error // makes it go to another file; nil if it goes to no file
}

// service is plusmoin at work.
type service struct {
	path    string        // of the configuration
	started config.Config // with which it was started
	cfg     config.Config // in force
	outlet  outlet
	log     *slog.Logger
	level   *slog.LevelVar
	inJSON  *atomic.Bool

	fleet   *postgres.Fleet
	board   *board
	state   *statefile.File // nil without state_dir
	runner  *triggers.Runner
	systemd *daemon.Systemd
	pulse   *pulse
	monitor *monitor.Monitor
	keeper  *keeper
}

// newService puts plusmoin together. It connects to nothing yet. When the first
// round has been told, begun is called. What h holds is seen to, and left to the
// caller to be released.
func newService(path string, cfg config.Config, out outlet, begun func(), h hold) (*service, error) {
	s := &service{path: path, started: cfg, cfg: cfg, outlet: out, level: new(slog.LevelVar)}
	s.level.Set(cfg.LogLevel)
	s.log, s.inJSON = newLog(out, s.level)
	s.inJSON.Store(inJSON(cfg))
	if err := errors.Join(h.troubles...); err != nil {
		s.log.Error("plusmoin runs, but not as it should", "error", err)
	}

	fleet, err := postgres.Open(connections(cfg), s.log)
	if err != nil {
		return nil, err
	}
	file, err := status.NewFile(cfg.StatusFile, s.log)
	if err != nil {
		fleet.Close()
		return nil, err
	}
	memory, err := s.openState(cfg)
	if err != nil {
		file.Close()
		fleet.Close()
		return nil, err
	}
	s.fleet = fleet
	s.runner = triggers.New(s.commands(cfg), s.log)
	s.board = newBoard(file, cfg.Heartbeat.Interval, s.runner.Warnings)
	s.systemd = daemon.NewSystemd(s.log)
	s.pulse = &pulse{systemd: s.systemd, first: begun, schedule: cfg.Heartbeat}
	s.keeper = newKeeper(h.files, s.log)
	s.monitor = monitor.New(fleet, watching(cfg), fleet.Dropped(), memory, s.log, s.board, s.runner, monitor.NewLog(s.log), s.pulse, s.keeper)
	return s, nil
}

// stateName is the name in state_dir of what a restart goes on from.
const stateName = "state.json"

// openState opens the file that a restart goes on from, nil without state_dir.
// systemd names a directory for it, which state_dir overrules.
func (s *service) openState(cfg config.Config) (monitor.Keeper, error) {
	dir := cfg.StateDir
	if dir == "" {
		dir, _, _ = strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	}
	if dir == "" {
		return nil, nil
	}
	file, err := statefile.Open(filepath.Join(dir, stateName), s.log)
	if err != nil {
		return nil, err
	}
	s.state = file
	return file, nil
}

// trouble tells why the status file has not been written yet, "" if it has.
func (s *service) trouble() string {
	if s.board.file.Stats().Written > 0 {
		return ""
	}
	return "status_file is not written, see the log for why: " + s.started.StatusFile
}

// run watches until the context ends, and does what is asked meanwhile.
func (s *service) run(ctx context.Context, asked requests) error {
	useProcessors(len(s.cfg.Nodes))
	s.log.Info("plusmoin starts", "version", versionText(), "pid", os.Getpid(), "user", daemon.Self().Name,
		"configuration", s.path, "nodes", len(s.cfg.Nodes))
	defer s.log.Info("plusmoin has stopped")
	ended := make(chan error, 1)
	go func() { ended <- s.monitor.Run(ctx) }()
	for {
		select {
		case <-asked.reopen:
			if s.outlet.divert != nil {
				s.reopen(s.cfg.LogFile)
				s.log.Info("log file opened anew", "file", s.cfg.LogFile)
			}
		case <-asked.reload:
			s.systemd.Reloading()
			s.reload(ctx)
			s.systemd.Ready()
		case err := <-ended:
			s.log.Info("plusmoin stops")
			s.systemd.Stopping()
			s.close()
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	}
}

func (s *service) close() {
	s.keeper.close()
	s.fleet.Close()
	s.runner.Close(triggersBound)
	if s.state != nil {
		s.state.Close()
	}
	s.board.file.Close()
}

// reload puts the configuration file in force as it is now. One that cannot be
// used changes nothing. The log file is opened anew in either case.
func (s *service) reload(ctx context.Context) {
	s.reopen(s.cfg.LogFile)
	cfg, warnings, err := loadConfig(s.path)
	if err == nil {
		err = s.safe(cfg)
	}
	if err == nil {
		err = affordable(cfg)
	}
	if err == nil {
		err = s.monitor.Reload(ctx, watching(cfg), func() error { return s.adopt(cfg) })
	}
	if err != nil {
		s.log.Error("configuration refused, the old one stays in force", "file", s.path, "error", err)
		s.board.refused(err)
		return
	}
	if cfg.LogFile != s.cfg.LogFile {
		s.reopen(cfg.LogFile)
	}
	for _, w := range warnings {
		s.log.Error("configuration", "file", s.path, "warning", w.String())
	}
	restart := config.Diff(s.started, cfg)
	if len(restart) > 0 {
		s.log.Error("some keys take effect only by a restart", "keys", restart)
	}
	s.runner.Reconfigure(s.commands(cfg))
	s.level.Set(cfg.LogLevel)
	s.inJSON.Store(inJSON(cfg))
	s.cfg = cfg
	s.log.Info("configuration reloaded", "file", s.path)
	// Last, since plusmoin reload returns when the status tells of it.
	s.board.reloaded(cfg.Heartbeat.Interval, restart)
}

// safe returns an error if a daemon must not obey the configuration.
func (s *service) safe(cfg config.Config) error {
	asDaemon := s.outlet.divert != nil
	if asDaemon {
		if err := trusted(s.path); err != nil {
			return err
		}
	}
	if err := separate(s.path, cfg, asDaemon); err != nil {
		return err
	}
	// Until a restart the files are where they were.
	cfg.PidFile, cfg.StatusFile = s.started.PidFile, s.started.StatusFile
	return separate(s.path, cfg, asDaemon)
}

// affordable returns an error if this process, which runs already, can have too
// few file descriptors for the nodes.
func affordable(cfg config.Config) error {
	err := postgres.CheckDescriptors(len(cfg.Nodes))
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: raise the limit where plusmoin is started (%s) and, so that no restart is needed, "+
		"with prlimit --pid %d --nofile=NUMBER", err, limitPlaces, os.Getpid())
}

// adopt is called by the loop between two rounds.
func (s *service) adopt(cfg config.Config) error {
	if err := s.fleet.Reconfigure(connections(cfg)); err != nil {
		return err
	}
	s.pulse.schedule = cfg.Heartbeat
	useProcessors(len(cfg.Nodes))
	return nil
}

// reopen makes the log go to the file that is at path now.
func (s *service) reopen(path string) {
	if s.outlet.divert == nil {
		return
	}
	if err := s.outlet.divert(path); err != nil {
		s.log.Error("log file not opened, the log goes where it went before", "file", path, "error", err)
	}
}

// connections returns what package postgres needs of the configuration.
func connections(c config.Config) postgres.Settings {
	return postgres.Settings{
		DBName: c.DBName, User: c.User, Password: postgres.Password(c.Password), PassFile: c.PassFile,
		SSLMode: c.SSLMode, SSLRootCert: c.SSLRootCert, SSLCert: c.SSLCert, SSLKey: c.SSLKey,
		RequireAuth: c.RequireAuth, ChannelBinding: c.ChannelBinding,
		IsSlaveStatement: c.IsSlaveStatement,
		ConnectTimeout:   c.ConnectTimeout, QueryTimeout: c.QueryTimeout, ConnectionLifetime: c.ConnectionLifetime,
		Heartbeat: c.Heartbeat.Interval,
	}
}

// commands returns what package triggers needs of the configuration. The status
// file is the one that is written, which a reload does not change.
func (s *service) commands(c config.Config) triggers.Settings {
	return triggers.Settings{
		Commands: c.Triggers, Timeout: c.TriggerTimeout, Patience: c.Heartbeat.Interval,
		StatusFile: s.started.StatusFile, Environ: os.Environ(),
	}
}

// watching returns what package monitor needs of the configuration.
func watching(c config.Config) monitor.Settings {
	return monitor.Settings{
		Cluster: c.Cluster(), Heartbeat: c.Heartbeat, Interval: c.Heartbeat.Interval, LookTimeout: c.QueryTimeout,
	}
}
