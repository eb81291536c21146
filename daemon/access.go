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
)

// Use is what a daemon does with a file.
type Use int

// The uses.
const (
	Read    Use = iota // it is there, and is read
	Write              // it is written; if missing, it is made
	Replace            // another one is written beside it and takes its place
)

// Problem is a file that cannot be used, and what to do about it.
type Problem struct {
	Text   string
	Remedy string // a command for root, "" if none helps
}

// Check returns what keeps this process from using the file at an absolute
// path, nil if nothing does. Missing folders of a file to be written are made.
// Nothing else is touched.
func Check(path string, use Use) *Problem {
	me := Self().Name
	if use != Read {
		// What is missing still is told below.
		_ = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if p := enter(filepath.Dir(path), me, use); p != nil {
		return p
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return &Problem{Text: path + " is a folder"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &Problem{Text: err.Error()}
	case use == Replace:
		return replace(path, info, me)
	case use == Read && err != nil:
		return &Problem{Text: "there is no " + path}
	case use == Read:
		return allowed(path, unix.R_OK, me)
	case err != nil:
		return allowed(filepath.Dir(path), unix.W_OK, me)
	}
	return allowed(path, unix.W_OK, me)
}

// enter finds the first folder on the way to dir that does not let us in.
func enter(dir, me string, use Use) *Problem {
	if dir != filepath.Dir(dir) {
		if p := enter(filepath.Dir(dir), me, use); p != nil {
			return p
		}
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist) && use == Read:
		return &Problem{Text: "there is no folder " + dir}
	case errors.Is(err, fs.ErrNotExist):
		return &Problem{
			Text:   fmt.Sprintf("there is no folder %s, and user %s cannot make it", dir, me),
			Remedy: "install -d -o " + quote(me) + " " + quote(dir),
		}
	case err != nil:
		return &Problem{Text: err.Error()}
	case !info.IsDir():
		return &Problem{Text: dir + " is no folder"}
	}
	if unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS) != nil {
		return &Problem{
			Text:   fmt.Sprintf("user %s may not enter the folder %s", me, dir),
			Remedy: "chmod o+x " + quote(dir),
		}
	}
	return nil
}

// replace looks at the folder of path, and at what is to be replaced if there
// is something: in a folder such as /tmp everybody may write, but not touch
// what others wrote.
func replace(path string, info fs.FileInfo, me string) *Problem {
	dir := filepath.Dir(path)
	if p := allowed(dir, unix.W_OK, me); p != nil {
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
	return &Problem{
		Text:   fmt.Sprintf("user %s may not replace %s", me, path),
		Remedy: "chown " + quote(me) + " " + quote(path),
	}
}

// allowed checks one right, unix.R_OK or unix.W_OK.
func allowed(path string, right uint32, me string) *Problem {
	err := unix.Faccessat(unix.AT_FDCWD, path, right, unix.AT_EACCESS)
	if err == nil {
		return nil
	}
	verb, letter, bit := "read", "r", fs.FileMode(0o400)
	if right == unix.W_OK {
		verb, letter, bit = "write", "w", 0o200
	}
	p := &Problem{Text: fmt.Sprintf("user %s may not %s %s", me, verb, path)}
	if !errors.Is(err, unix.EACCES) {
		p.Text = fmt.Sprintf("user %s cannot %s %s: %s", me, verb, path, err)
		return p
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		p.Text = err.Error()
	case info.IsDir() && shared(path, info):
		own := filepath.Join(path, "plusmoin")
		p.Text += ", which is not plusmoin's alone; name a file in a folder of its own, such as " + own
		p.Remedy = "install -d -o " + quote(me) + " " + quote(own)
	case owner(info) == os.Geteuid():
		p.Remedy = "chmod u+" + letter + " " + quote(path)
	case info.Mode()&bit == 0:
		p.Remedy = fmt.Sprintf("chown %s %s && chmod u+%s %s", quote(me), quote(path), letter, quote(path))
	default:
		p.Remedy = "chown " + quote(me) + " " + quote(path)
	}
	return p
}

// shared says that a folder is the system's, such as /run or /var/log, and must
// never be given to a user.
func shared(path string, info fs.FileInfo) bool {
	return owner(info) == 0 && strings.Count(filepath.Clean(path), "/") <= 2
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
