package pglab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What a monitored server is prepared with, as the documentation of plusmoin
// asks for. The role owns the database and has no other privilege.
const (
	User     = "plusmoin"
	Password = "carrotcake"
	Database = "plusmoin"
)

var errClosed = errors.New("the lab is closed")

// patience bounds every wait of this package, beside the caller's context: a
// test whose context has no deadline must still fail with a reason.
const patience = 30 * time.Second

// Options of a lab; the zero value is ready to use.
type Options struct {
	// Dir is the folder in which the lab makes its own; empty: that of TMPDIR,
	// else memory (/dev/shm) if it has 1 GiB free, else that of temporary
	// files. Under root, the user postgres must be able to enter it.
	Dir string
	// Bin is the folder of initdb, postgres and so on; empty: PATH, then the
	// places where distributions install them, newest version first.
	Bin string
	// Each is applied to every server, before the settings given for it.
	Each []Setting
}

// Lab is a set of servers which live and end together. Its methods may be
// called from several goroutines; Close only when the others have returned.
type Lab struct {
	tools    tools
	dir      string
	template string
	each     []Setting
	launcher *launcher
	guard    *guard

	mu      sync.Mutex
	servers []*Server
	closed  bool
}

// Open prepares a lab without servers. The error says what is missing when
// PostgreSQL is not installed (ErrNotInstalled) or its user cannot enter Dir.
func Open(ctx context.Context, o Options) (*Lab, error) {
	bin, err := findBinaries(o.Bin)
	if err != nil {
		return nil, err
	}
	who, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := makeFolder(o.Dir, who)
	if err != nil {
		return nil, err
	}
	l := &Lab{tools: tools{bin: bin, home: dir, who: who}, dir: dir, each: o.Each, launcher: startLauncher()}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) prepare(ctx context.Context) (err error) {
	if l.guard, err = startGuard(l.dir); err != nil {
		return err
	}
	version, err := l.tools.version(ctx)
	if err != nil {
		return err
	}
	l.template, err = findTemplate(ctx, l.tools, version)
	return err
}

// makeFolder makes the folder of a lab. Its name is short because the path of
// a Unix socket has hardly more than a hundred bytes.
func makeFolder(parent string, who account) (string, error) {
	if parent == "" && os.Getenv("TMPDIR") == "" && roomInMemory() {
		parent = memory
	}
	dir, err := os.MkdirTemp(parent, "pglab-")
	if err != nil {
		return "", fmt.Errorf("lab folder: %w", err)
	}
	if dir, err = filepath.Abs(dir); err == nil {
		err = checkSocketPath(dir)
	}
	if err == nil {
		err = who.own(dir)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("lab folder: %w", err), os.Remove(dir))
	}
	return dir, nil
}

// memory is a file system in memory. On disk a lab is bound by the creation and
// removal of thousands of files, which some file systems make slow.
const memory = "/dev/shm"

// roomInMemory reports whether a few servers fit. A container's 64 MB are not
// enough for two.
func roomInMemory() bool {
	var fs unix.Statfs_t
	err := unix.Statfs(memory, &fs)
	return err == nil && fs.Bavail*uint64(fs.Bsize) >= 1<<30 // Bsize is signed on some systems, unsigned on others
}

func checkSocketPath(dir string) error {
	const longest = 103 // of sun_path on the BSDs; Linux has four more
	if path := filepath.Join(dir, ".s.PGSQL.65535"); len(path) > longest {
		return fmt.Errorf("%s is too long for a Unix socket; hint: set TMPDIR to a shorter path", path)
	}
	return nil
}

// Close kills every server of the lab, frozen ones too, and removes its folder.
// It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	closed, servers := l.closed, l.servers
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := together(servers, func(s *Server) error { return s.discard(ctx) })
	l.launcher.stop()
	err = errors.Join(err, os.RemoveAll(l.dir))
	if l.guard != nil {
		err = errors.Join(err, l.guard.release())
	}
	return err
}

// Servers returns the servers of the lab in the order of their creation.
func (l *Lab) Servers() []*Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.servers)
}

// Master creates and starts a master with a system identifier of its own. The
// name, of at most 32 letters, digits, - and _, is unique in the lab.
func (l *Lab) Master(ctx context.Context, name string, settings ...Setting) (*Server, error) {
	s, err := l.add(name, settings)
	if err != nil {
		return nil, err
	}
	if err := s.fillAsMaster(); err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Slave creates and starts a slave of a running server, which may itself be a
// slave. It returns when the slave streams. The slave's application_name, for
// synchronous_standby_names, is its name.
func (l *Lab) Slave(ctx context.Context, name string, of *Server, settings ...Setting) (*Server, error) {
	s, err := l.add(name, settings)
	if err != nil {
		return nil, err
	}
	s.inherit(of)
	if err := s.Rebuild(ctx, of); err != nil {
		return nil, err
	}
	return s, nil
}

// Cluster creates and starts a master with the first name and slaves with the
// others. It is faster than Master and Slave, because the slaves are copied
// from the master before it starts. It returns when all slaves stream. What a
// slave must not have less of than its master had, such as max_connections,
// cannot be lowered by Options.Each for it: use Master and Slave then.
func (l *Lab) Cluster(ctx context.Context, names ...string) ([]*Server, error) {
	servers := make([]*Server, len(names))
	for i, name := range names {
		s, err := l.add(name, nil)
		if err != nil {
			return nil, err
		}
		servers[i] = s
	}
	if len(servers) == 0 {
		return nil, errors.New("a cluster needs at least one name")
	}
	master, slaves := servers[0], servers[1:]
	if err := master.fillAsMaster(); err != nil {
		return nil, err
	}
	err := together(slaves, func(s *Server) error { return s.fillAsSlave(master) })
	if err != nil {
		return nil, err
	}
	if err := master.Start(ctx); err != nil {
		return nil, err
	}
	err = together(slaves, func(s *Server) error {
		if err := s.Start(ctx); err != nil {
			return err
		}
		return s.awaitStreaming(ctx, master)
	})
	if err != nil {
		return nil, err
	}
	return servers, nil
}

// add registers a server with a folder and a port, but without data.
func (l *Lab) add(name string, settings []Setting) (*Server, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	s, err := newServer(l, name, slices.Concat(l.each, settings))
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", name, err)
	}
	l.servers = append(l.servers, s)
	return s, nil
}

func checkName(name string) error {
	valid := len(name) >= 1 && len(name) <= 32
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		valid = valid && (letter || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if !valid {
		return fmt.Errorf("server name %q: want 1 to 32 letters, digits, - or _", name)
	}
	return nil
}

// together does something with all servers at once and waits for all of them.
func together(servers []*Server, do func(*Server) error) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { errs[i] = do(s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// poll asks until the answer is yes, an error, or ctx or patience has ended.
func poll(ctx context.Context, every time.Duration, what string, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		yes, err := ask(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if yes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(every):
		}
	}
}
