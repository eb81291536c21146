package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"plusmoin/internal/pglab"
)

// home is where a server lives, for people who are to play with it.
type home struct {
	server   *pglab.Server
	data     string // folder
	conf     string // file
	bin      string // folder of PostgreSQL's programs
	conninfo string // how it reaches its master, if it has one
	owner    string // the user that runs it, "" if that is us
}

// homeOf asks a running server.
func homeOf(ctx context.Context, server *pglab.Server) (home, error) {
	out, err := server.SQL(ctx, "SHOW data_directory; SHOW config_file; "+
		"SELECT setting FROM pg_config WHERE name = 'BINDIR'; SHOW primary_conninfo")
	if err != nil {
		return home{}, err
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 4 {
		return home{}, fmt.Errorf("asking %s where it lives: %q", server.Name(), out)
	}
	h := home{server: server, data: lines[0], conf: lines[1], bin: lines[2], conninfo: lines[3]}
	h.owner, err = ownerOf(h.data)
	return h, err
}

func ownerOf(folder string) (string, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return "", nil
	}
	owner, err := user.LookupId(strconv.Itoa(int(stat.Uid)))
	if err != nil {
		return "", err
	}
	return owner.Username, nil
}

// psql returns a command line that runs statements as superuser.
func (h home) psql(statements ...string) string {
	line := fmt.Sprintf("%s -h %s -p %d -U postgres %s",
		quote(filepath.Join(h.bin, "psql")), quote(h.server.SocketDir()), h.server.Port(), pglab.Database)
	for _, s := range statements {
		line += fmt.Sprintf(" -c %q", s)
	}
	return line
}

// ctl returns a command line for pg_ctl, which refuses to work for root.
func (h home) ctl(args string) string {
	line := fmt.Sprintf("%s -D %s %s", quote(filepath.Join(h.bin, "pg_ctl")), quote(h.data), args)
	if h.owner == "" {
		return line
	}
	return fmt.Sprintf("(cd / && su %s -s /bin/sh -c %s)", h.owner, quote(line))
}

func (h home) kill() string {
	return fmt.Sprintf("kill -9 $(head -n 1 %s)", quote(filepath.Join(h.data, "postmaster.pid")))
}

func (h home) promote() string { return h.ctl("promote") }

func (h home) start() string {
	log := filepath.Join(filepath.Dir(h.conf), "pg_ctl.log")
	// pg_ctl hands on what comes after -o to a shell.
	return h.ctl(fmt.Sprintf("-o %s -l %s start", quote("--config_file="+quote(h.conf)), quote(log)))
}

// follow returns the command line that has a slave of one server follow
// another one.
func (h home) follow(of, instead home) string {
	port := func(h home) string { return fmt.Sprintf("port=%d ", h.server.Port()) }
	conninfo := strings.Replace(h.conninfo, port(of), port(instead), 1)
	return h.psql("ALTER SYSTEM SET primary_conninfo = '"+conninfo+"'", "SELECT pg_reload_conf()")
}

// quote returns a word as a shell wants it.
func quote(word string) string {
	if regexp.MustCompile(`^[-\w@%+=:,./]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// endStray ends a postmaster that a player has started in place of ours. Where
// there is no /proc, it ends by itself within a minute after its folder.
func (h home) endStray() error {
	if h.server.Running() {
		return nil
	}
	const patience, pause = 5 * time.Second, 10 * time.Millisecond
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		for waited := time.Duration(0); waited < patience; waited += pause {
			pid, ok := h.stray()
			if !ok {
				return nil
			}
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("ending %s: %w", h.server.Name(), err)
			}
			time.Sleep(pause)
		}
	}
	return fmt.Errorf("%s does not end", h.server.Name())
}

// stray returns the process that the pid file names, if it is at work in the
// data folder as a postmaster is.
func (h home) stray() (int, bool) {
	text, err := os.ReadFile(filepath.Join(h.data, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, false
	}
	works, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return 0, false
	}
	data, err := filepath.EvalSymlinks(h.data)
	return pid, err == nil && works == data
}
