package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/postgres"
)

// What plusmoin needs of this machine. Nothing is made or changed. Whether it will
// run as a daemon is not known: with -x it changes no user, so what only
// daemon_user lacks is a note.

// actor is whom plusmoin would run as.
type actor struct {
	name    string
	uid     int
	groups  []int
	assumed bool // it is not who runs the check: rights are read, not tried
}

// daemonActor returns whom a daemon started by this user would run as. The error
// says that there is no such user.
func daemonActor(cfg config.Config) (actor, error) {
	if os.Geteuid() != 0 {
		return actor{name: daemon.Self().Name, uid: os.Geteuid()}, nil
	}
	found, err := user.Lookup(cfg.DaemonUser)
	if err != nil {
		return actor{}, fmt.Errorf("no user %q on this machine", cfg.DaemonUser)
	}
	ids, err := found.GroupIds()
	if err != nil {
		return actor{}, fmt.Errorf("groups of user %s: %w", cfg.DaemonUser, err)
	}
	a := actor{name: found.Username, assumed: found.Uid != "0"}
	if a.uid, err = strconv.Atoi(found.Uid); err != nil {
		return actor{}, fmt.Errorf("user %s: id %q is no number", cfg.DaemonUser, found.Uid)
	}
	for _, id := range append(ids, found.Gid) {
		if n, err := strconv.Atoi(id); err == nil {
			a.groups = append(a.groups, n)
		}
	}
	return a, nil
}

// The rights as in the last digit of a mode.
const (
	mayRead  = 4
	mayWrite = 2
	mayEnter = 1 // or execute
)

// may reports whether a has a right, as far as the mode of what is at path says.
func (a actor) may(path string, info fs.FileInfo, right fs.FileMode) bool {
	if !a.assumed {
		return unix.Faccessat(unix.AT_FDCWD, path, uint32(right), unix.AT_EACCESS) == nil
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case !ok:
		return true
	case int(stat.Uid) == a.uid:
		mode >>= 6
	case slices.Contains(a.groups, int(stat.Gid)):
		mode >>= 3
	}
	return mode&right == right
}

// enter returns what keeps a from entering a directory, "" if nothing does, and
// the nearest directory on the way that is there.
func (a actor) enter(dir string) (trouble, nearest string) {
	if parent := filepath.Dir(dir); parent != dir {
		if trouble, nearest = a.enter(parent); trouble != "" || nearest != parent {
			return trouble, nearest
		}
		nearest = parent
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nearest
	case err != nil:
		return err.Error(), nearest
	case !info.IsDir():
		return dir + " is no directory", nearest
	case !a.may(dir, info, mayEnter):
		return fmt.Sprintf("user %s may not enter the directory %s", a.name, dir), nearest
	}
	return "", dir
}

// reads returns what keeps a from reading a file.
func (a actor) reads(path string) string {
	trouble, _ := a.enter(filepath.Dir(path))
	if trouble != "" {
		return trouble
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + path
	case err != nil:
		return err.Error()
	case info.IsDir():
		return path + " is a directory"
	case !a.may(path, info, mayRead):
		return fmt.Sprintf("user %s may not read %s", a.name, path)
	}
	return ""
}

// writes returns what keeps a from writing a file, or from replacing it by
// another one.
func (a actor) writes(path string, replace bool) string {
	dir := filepath.Dir(path)
	trouble, nearest := a.enter(dir)
	if trouble != "" || nearest != dir && slices.Contains(madeByRoot, dir) {
		return trouble
	}
	target := path
	info, err := os.Stat(path)
	if replace || err != nil {
		target = nearest
		if info, err = os.Stat(nearest); err != nil {
			return err.Error()
		}
	} else if info.IsDir() {
		return path + " is a directory"
	}
	if a.may(target, info, mayWrite) {
		return ""
	}
	return fmt.Sprintf("user %s may not write %s", a.name, target)
}

// madeByRoot are the directories that start makes if root runs it.
var madeByRoot = []string{"/var/run/plusmoin", "/run/plusmoin", "/var/log/plusmoin"}

// machine judges what plusmoin needs of this machine.
func (c check) machine(path string) []postgres.Finding {
	who, err := daemonActor(c.cfg)
	if err != nil {
		f := note("daemon_user: %v: started by root without -x plusmoin would not run", err)
		f.Remedies = []postgres.Remedy{{Where: "as root, if it is to be made", Lines: []string{"useradd --system " + c.cfg.DaemonUser}}}
		return append([]postgres.Finding{f}, c.programs(actor{name: "root"})...)
	}
	var found []postgres.Finding
	if os.Geteuid() == 0 && who.uid == 0 {
		found = append(found, note("daemon_user is root: triggers run as root then. A user of its own does"))
	}
	list := filesOf(c.cfg)
	if absolute, err := filepath.Abs(path); err == nil {
		list = append(files{{"configuration", absolute, daemon.Read}}, list...)
	}
	for _, f := range list {
		var trouble string
		switch f.use {
		case daemon.Write, daemon.Replace:
			trouble = who.writes(f.path, f.use == daemon.Replace)
		default:
			trouble = who.reads(f.path)
		}
		if trouble != "" {
			found = append(found, note("%s: %s: as a daemon, started without -x, plusmoin would not run. plusmoin start says what to do", f.key, trouble))
		}
	}
	return append(found, c.programs(who)...)
}
