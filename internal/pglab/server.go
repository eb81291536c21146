package pglab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Server is a PostgreSQL server of a lab. One goroutine at a time may change
// it; SQL, Log, Running and the accessors may be called at any time.
type Server struct {
	lab  *Lab
	name string
	dir  string
	port *heldPort
	spec spec

	mu       sync.Mutex
	proc     *process // nil before the first start
	frozen   []int    // the processes that Thaw continues
	upstream *Server  // whom it was last told to follow; nil for a master
}

// newServer makes a server with a folder, a port and its configuration files,
// but without data.
func newServer(l *Lab, name string, settings []Setting) (*Server, error) {
	s := &Server{lab: l, name: name, dir: filepath.Join(l.dir, name), spec: newSpec()}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	port, err := holdPort()
	if err != nil {
		return nil, err
	}
	s.port = port
	for _, set := range settings {
		set(&s.spec)
	}
	if err := errors.Join(s.writeCertificate(), s.writeFiles(), l.tools.who.own(s.dir)); err != nil {
		return nil, errors.Join(err, port.release())
	}
	return s, nil
}

// Host returns 127.0.0.1.
func (s *Server) Host() string { return "127.0.0.1" }

// Port returns the TCP port, which stays the server's own until Close.
func (s *Server) Port() int { return s.port.number }

// Name returns the name given at creation.
func (s *Server) Name() string { return s.name }

// SocketDir returns the folder of the Unix socket, by which any role,
// postgres too, connects without a password.
func (s *Server) SocketDir() string { return s.lab.dir }

// Log returns what the server has logged so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(text)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }
func (s *Server) data() string    { return filepath.Join(s.dir, "data") }

// Running reports whether the postmaster lives; a frozen one does.
func (s *Server) Running() bool { return s.process().alive() }

func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// Start starts a stopped or killed server and returns when it accepts
// connections (with hot_standby off: when it recovers).
func (s *Server) Start(ctx context.Context) error {
	if err := s.Launch(); err != nil {
		return err
	}
	return poll(ctx, 2*time.Millisecond, "start "+s.name, func(context.Context) (bool, error) {
		return s.ready()
	})
}

// Launch starts the server like Start, but does not wait until it is ready.
func (s *Server) Launch() error {
	if s.Running() {
		return fmt.Errorf("start %s: it is running", s.name)
	}
	p, err := s.spawn()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	return nil
}

// spawn starts a postmaster as our own child, and waits for its end aside.
func (s *Server) spawn() (*process, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := s.lab.tools.command(context.Background(), "postgres", "-D", s.data(), "-c", "config_file="+s.confFile())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childOf(cmd.SysProcAttr)
	if err := s.lab.launcher.start(cmd); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	if err := s.lab.guard.add(p.pid); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in its log
		_ = s.lab.guard.remove(p.pid)
	}()
	return p, nil
}

// pidFile is where a postmaster tells its state: pid, data folder, start time,
// port, socket folder, address, shared memory, status.
func (s *Server) pidFile() string { return filepath.Join(s.data(), "postmaster.pid") }

func (s *Server) pidFileLine(number int) string {
	text, err := os.ReadFile(s.pidFile())
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) < number {
		return ""
	}
	return strings.TrimSpace(lines[number-1])
}

func (s *Server) ready() (bool, error) {
	p := s.process()
	if !p.alive() {
		return false, fmt.Errorf("it ended:\n%s", tail(s.Log(), 20))
	}
	// At first the file may still be that of a postmaster which crashed.
	if s.pidFileLine(1) != strconv.Itoa(p.pid) {
		return false, nil
	}
	status := s.pidFileLine(8)
	return status == "ready" || status == "standby", nil
}

// Stop shuts the server down (fast) and waits for its end. A frozen server is
// thawed first. Stopping a server that does not run does nothing.
func (s *Server) Stop(ctx context.Context) error {
	if !s.Running() {
		return nil
	}
	if err := s.Thaw(); err != nil {
		return err
	}
	p := s.process()
	if err := signal(syscall.SIGINT, p.pid); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	return nil
}

// Restart is Stop and Start.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.Start(ctx)
}

// Kill ends the postmaster and all its children with SIGKILL and waits until
// none is left. Clients see their connections close, and the next Start
// recovers. Killing a server that does not run does nothing.
func (s *Server) Kill(ctx context.Context) error {
	p := s.process()
	if p == nil {
		return nil
	}
	if err := s.killFamily(ctx, p); err != nil {
		return fmt.Errorf("kill %s: %w", s.name, err)
	}
	s.clearRemains()
	return nil
}

// killFamily freezes before it kills, so that no process can start another. If
// something else has killed a frozen postmaster, its children are still there.
func (s *Server) killFamily(ctx context.Context, p *process) error {
	family := s.takeFrozen()
	if p.alive() {
		var err error
		if family, err = p.freeze(); err != nil {
			return err
		}
	} else if len(family) > 0 {
		family = family[1:] // the postmaster's number may be another's by now
	}
	if err := endAll(ctx, family); err != nil {
		return err
	}
	return errors.Join(p.wait(ctx), s.lab.guard.remove(family...))
}

// takeFrozen returns the frozen processes and forgets them.
func (s *Server) takeFrozen() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := s.frozen
	s.frozen = nil
	return pids
}

// clearRemains removes what a killed postmaster would otherwise remove at its
// next start, which may never come: its shared memory, its pid file and that of
// its socket. A server whose number another one got meanwhile would not start.
func (s *Server) clearRemains() {
	// Each is only untidy to leave behind.
	var key, id int
	if _, err := fmt.Sscan(s.pidFileLine(7), &key, &id); err == nil {
		_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
	_ = os.Remove(s.pidFile())
	_ = os.Remove(filepath.Join(s.SocketDir(), fmt.Sprintf(".s.PGSQL.%d.lock", s.Port())))
}

// Freeze stops the postmaster and all its children with SIGSTOP: connections
// open and stay silent, as with a machine that hangs.
func (s *Server) Freeze() error {
	p := s.process()
	if !p.alive() {
		return fmt.Errorf("freeze %s: it is not running", s.name)
	}
	pids, err := p.freeze()
	s.mu.Lock()
	s.frozen = pids
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("freeze %s: %w", s.name, err)
	}
	return s.lab.guard.add(pids[1:]...)
}

// Thaw continues a frozen server. Thawing another one does nothing.
func (s *Server) Thaw() error {
	pids := s.takeFrozen()
	if err := signal(syscall.SIGCONT, pids...); err != nil {
		return fmt.Errorf("thaw %s: %w", s.name, err)
	}
	if len(pids) == 0 {
		return nil
	}
	return s.lab.guard.remove(pids[1:]...)
}

// SQL runs statements through psql as superuser in Database, each in its own
// transaction unless they say otherwise, and returns what they return: rows as
// lines, columns separated by |, no last newline. The first error ends it.
func (s *Server) SQL(ctx context.Context, query string) (string, error) {
	out, err := s.lab.tools.run(ctx, query, "psql", append(s.connection(), "--dbname="+Database,
		"--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1")...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.name, err)
	}
	return strings.TrimSuffix(out, "\n"), nil
}

// connection returns the arguments by which PostgreSQL's programs connect.
func (s *Server) connection() []string {
	return []string{"--host=" + s.SocketDir(), fmt.Sprintf("--port=%d", s.Port()), "--username=postgres", "--no-password"}
}

// discard ends the server for good.
func (s *Server) discard(ctx context.Context) error {
	return errors.Join(s.Kill(ctx), s.port.release())
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
