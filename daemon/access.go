package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"plusmoin/internal/plainfile"
)

// Use is what a daemon does with a file.
type Use int

// The uses.
const (
	Read    Use = iota // it is there, and is read
	Config             // so is the configuration
	Secret             // it is read, and nobody but its owner may: a passfile
	Write              // it is written; if missing, it is made
	Replace            // another one is written beside it and takes its place
)

func (u Use) reads() bool { return u == Read || u == Config || u == Secret }

// Problem is a file that cannot be used, and what to do about it.
type Problem struct {
	Text   string
	Remedy string // a command for root, "" if none helps
}

// asker is who wants to use a file.
type asker struct {
	User
	config, program string // the directories they are in are never given away
}

// Check returns what keeps this process, whose configuration is the file config,
// from using the file at an absolute path, nil if nothing does. Missing
// directories of a file to be written are made. Nothing else is touched.
func Check(path string, use Use, config string) *Problem {
	me := asker{User: Self(), config: config}
	me.program, _ = os.Executable() // unknown is nowhere
	if !use.reads() {
		// What is missing still is told below.
		_ = plainfile.MakeDirectory(filepath.Dir(path))
	}
	if p := enter(filepath.Dir(path), me, use); p != nil {
		return p
	}
	info, err := os.Lstat(path)
	link := err == nil && info.Mode().Type() == fs.ModeSymlink
	if link && use.reads() {
		info, err = os.Stat(path)
	}
	switch {
	case err == nil && info.IsDir():
		return &Problem{Text: path + " is a directory"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &Problem{Text: err.Error()}
	case use == Replace && err == nil && !link && !info.Mode().IsRegular():
		return &Problem{Text: path + " is no regular file"}
	case use == Replace:
		return replace(path, info, me)
	case use.reads() && err != nil:
		return &Problem{Text: "there is no " + path}
	case err != nil:
		return allowed(filepath.Dir(path), use, me)
	}
	if p := allowed(path, use, me); p != nil {
		return p
	}
	return plain(path, use)
}

// plain opens a file as it will be opened.
func plain(path string, use Use) *Problem {
	open := plainfile.Open
	if use == Write {
		open = func(path string) (*os.File, error) { return plainfile.OpenOwn(path, os.O_WRONLY, 0) }
	}
	file, err := open(path)
	if err != nil {
		return &Problem{Text: err.Error()}
	}
	_ = file.Close() // nothing was written
	return nil
}

// enter finds the first directory on the way to dir that does not let us in.
func enter(dir string, me asker, use Use) *Problem {
	if dir != filepath.Dir(dir) {
		if p := enter(filepath.Dir(dir), me, use); p != nil {
			return p
		}
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist) && use.reads():
		return &Problem{Text: "there is no directory " + dir}
	case errors.Is(err, fs.ErrNotExist):
		p := &Problem{
			Text:   fmt.Sprintf("there is no directory %s, and user %s cannot make it", dir, me.Name),
			Remedy: makeDirectory(dir, me),
		}
		if p.Remedy == "" {
			p.Text += "; " + elsewhere(use)
		}
		return p
	case err != nil:
		return &Problem{Text: err.Error()}
	case !info.IsDir():
		return &Problem{Text: dir + " is no directory"}
	}
	if unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS) == nil {
		return nil
	}
	p := &Problem{Text: fmt.Sprintf("user %s may not enter the directory %s", me.Name, dir)}
	if mine(dir) {
		p.Remedy = group(me, dir, "0750")
	} else {
		p.Text += "; " + elsewhere(use)
	}
	return p
}

// replace looks at the directory of path, and at what is to be replaced if there
// is something: in a directory such as /tmp everybody may write, but not touch
// what others wrote.
func replace(path string, info fs.FileInfo, me asker) *Problem {
	dir := filepath.Dir(path)
	if p := allowed(dir, Replace, me); p != nil {
		return p
	}
	folder, err := os.Stat(dir)
	if err != nil || info == nil || folder.Mode()&fs.ModeSticky == 0 {
		return nil
	}
	self := os.Geteuid()
	if self == 0 || owner(info) == self || owner(folder) == self {
		return nil
	}
	return &Problem{Text: fmt.Sprintf("user %s may not replace %s; %s", me.Name, path, elsewhere(Replace))}
}

// allowed checks whether a file may be used, or a directory written to.
func allowed(path string, use Use, me asker) *Problem {
	right, verb := uint32(unix.W_OK), "write"
	if use.reads() {
		right, verb = unix.R_OK, "read"
	}
	err := unix.Faccessat(unix.AT_FDCWD, path, right, unix.AT_EACCESS)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EACCES) {
		return &Problem{Text: fmt.Sprintf("user %s cannot %s %s: %s", me.Name, verb, path, err)}
	}
	p := &Problem{Text: fmt.Sprintf("user %s may not %s %s", me.Name, verb, path)}
	info, err := os.Lstat(path)
	if err != nil {
		p.Text = err.Error()
		return p
	}
	p.Remedy = remedy(path, info, use, me)
	switch own := filepath.Join(path, "plusmoin"); {
	case p.Remedy == "":
		p.Text += "; " + elsewhere(use)
	case strings.HasPrefix(p.Remedy, "install "):
		p.Text += ", which is not plusmoin's alone; name a file in a directory of its own, such as " + own
	}
	return p
}

// remedy returns the command for root that lets us use what is at path, "" if
// there is none that is safe: what a link leads to, what is root's outside of
// plusmoin's own directories and what belongs to the system is not touched.
func remedy(path string, info fs.FileInfo, use Use, me asker) string {
	dir := filepath.Dir(path)
	mode, ours := map[bool]string{true: "u+r", false: "u+w"}[use.reads()], owner(info) == os.Geteuid()
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return ""
	case ours:
		return "chmod " + mode + " " + quote(path)
	case info.IsDir() && mine(path) && me.mayHave(path):
		return "chown " + quote(me.Name) + " " + quote(path)
	case info.IsDir():
		return makeDirectory(filepath.Join(path, "plusmoin"), me)
	case use == Config && roots(dir):
		return group(me, path, "0640")
	case !use.reads() && ownedByUs(dir):
		return "mv -T " + quote(path) + " " + quote(path+".old")
	case !mine(dir) || !roots(dir):
		return ""
	case use == Read:
		return group(me, path, "0640")
	case use == Secret:
		return "chown " + quote(me.Name) + " " + quote(path) + " && chmod 0600 " + quote(path)
	}
	return "chown " + quote(me.Name) + " " + quote(path)
}

// elsewhere tells what to do where nothing may be changed.
func elsewhere(use Use) string {
	if use.reads() {
		return "keep it in a directory of plusmoin's own, such as /etc/plusmoin"
	}
	return "name a file in a directory of its own, such as /run/plusmoin or /var/log/plusmoin"
}

// group returns the command that lets our group use what is at path.
func group(me asker, path, mode string) string {
	return "chgrp " + quote(me.group()) + " " + quote(path) + " && chmod " + mode + " " + quote(path)
}

// mayHave says that a directory can be given away: it is not for what root obeys.
func (me asker) mayHave(dir string) bool {
	return !within(dir, "/etc") && !within(me.config, dir) && !within(me.program, dir)
}

// makeDirectory returns the command that makes a directory of ours, "" where none
// belongs or something is there already.
func makeDirectory(dir string, me asker) string {
	parent := filepath.Dir(dir)
	for missing(parent) {
		parent = filepath.Dir(parent)
	}
	if !missing(dir) || !roots(parent) || within(dir, "/etc") {
		return ""
	}
	return "install -d -o " + quote(me.Name) + " " + quote(dir)
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// mine says that a directory is plusmoin's own, and that nobody can make it
// another one while root does what a remedy says.
func mine(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && filepath.Base(dir) == "plusmoin" && roots(filepath.Dir(dir))
}

// roots says that nobody but root can change what is in a directory, and that it
// is none of those where only the system and root keep things.
func roots(dir string) bool {
	for _, system := range []string{
		"/root", "/bin", "/boot", "/dev", "/lib", "/lib64", "/proc", "/sbin", "/sys",
		"/usr/bin", "/usr/lib", "/usr/sbin",
	} {
		if within(dir, system) {
			return false
		}
	}
	return plainfile.Guarded(dir) == nil
}

func ownedByUs(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && owner(info) == os.Geteuid()
}

// within says that a path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

func owner(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// quote makes a word one word for a shell.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
