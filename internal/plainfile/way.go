package plainfile

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mostLinks is how many symbolic links a path may lead through, as the system
// has it.
const mostLinks = 40

// entry is what was found under a name.
type entry struct {
	path string // without links before its last name
	stat unix.Stat_t
}

func (e entry) kind() uint32 { return e.stat.Mode & unix.S_IFMT }

// open says that others than its owner may put other things into the directory
// e, or into the file.
func (e entry) open() bool { return e.stat.Mode&0o022 != 0 }

// end is where a path leads: a name, which need not be there, in a directory.
type end struct {
	dir   int // a descriptor of the directory, which can only be walked from
	in    entry
	name  string
	entry *entry // nil if there is nothing
}

func (e end) path() string { return filepath.Join(e.in.path, e.name) }
func (e end) close()       { _ = unix.Close(e.dir) } // nothing is written by it

// walk goes to the end of an absolute path, name by name, so that nothing that
// was judged can be exchanged afterwards. Every entry is shown to see, with the
// directory that it is in; its error ends the walk. A link that is the last name
// is followed only if last is set. The end must be closed.
func walk(path string, last bool, see func(in, found entry) error) (e end, err error) {
	e = end{dir: -1}
	defer func() {
		if err != nil && e.dir >= 0 {
			e.close()
		}
	}()
	if err := e.root(); err != nil {
		return e, err
	}
	names := split(path)
	for links := 0; len(names) > 0; {
		e.name, names = names[0], names[1:]
		fd, err := unix.Openat(e.dir, e.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) && len(names) == 0 {
			return e, nil
		}
		if err != nil {
			return e, &fs.PathError{Op: "open", Path: e.path(), Err: err}
		}
		target, err := e.step(fd, last || len(names) > 0, len(names) == 0, see)
		if err != nil {
			return e, err
		}
		if target == "" {
			continue
		}
		if links++; links > mostLinks {
			return e, &fs.PathError{Op: "open", Path: path, Err: unix.ELOOP}
		}
		if filepath.IsAbs(target) {
			if err := e.root(); err != nil {
				return e, err
			}
		}
		names = append(split(target), names...)
	}
	return e, nil
}

// root puts e at the root directory.
func (e *end) root() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	return e.enter(fd, "/")
}

// enter makes the directory fd the one that e is in.
func (e *end) enter(fd int, path string) error {
	if e.dir >= 0 {
		e.close()
	}
	e.dir, e.in = fd, entry{path: path}
	return unix.Fstat(fd, &e.in.stat)
}

// step judges what fd, which it closes or keeps, has open. It returns the target
// of a link that is to be followed, else moves e on.
func (e *end) step(fd int, follow, final bool, see func(in, found entry) error) (target string, err error) {
	found := entry{path: e.path()}
	keep := false
	defer func() {
		if !keep {
			_ = unix.Close(fd) // nothing is written by it
		}
	}()
	if err := unix.Fstat(fd, &found.stat); err != nil {
		return "", &fs.PathError{Op: "stat", Path: found.path, Err: err}
	}
	if err := see(e.in, found); err != nil {
		return "", err
	}
	switch {
	case found.kind() == unix.S_IFLNK && follow:
		return readLink(fd, found.path)
	case final:
		e.entry = &found
		return "", nil
	case found.kind() != unix.S_IFDIR:
		return "", &fs.PathError{Op: "open", Path: found.path, Err: unix.ENOTDIR}
	}
	keep = true
	return "", e.enter(fd, filepath.Clean(found.path))
}

func readLink(fd int, path string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buffer)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buffer[:n]), nil
}

// split returns the names of a path. That of the root directory is ".".
func split(path string) []string {
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(names) == 0 {
		return []string{"."}
	}
	return names
}

// unplanted refuses links that neither root nor this user has made. Whoever owns
// a directory may lead its other users where he likes, but not root.
func unplanted(in, found entry) error {
	if found.kind() != unix.S_IFLNK {
		return nil
	}
	switch maker := int(found.stat.Uid); {
	case maker == 0, maker == os.Geteuid():
		return nil
	case maker == int(in.stat.Uid) && os.Geteuid() != 0:
		return nil
	}
	return Error{found.path, "is a link of user " + userName(found.stat.Uid) + ", which is not followed"}
}

func userName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}
