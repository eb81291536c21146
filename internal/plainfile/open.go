package plainfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Error says that what is at Path is no file to be used, and is left alone.
type Error struct {
	Path string // absolute
	Text string // such as "is a named pipe"
}

func (e Error) Error() string { return e.Path + " " + e.Text }

// Open opens the regular file at path for reading. Links of root's, of this
// user's own and, except for root, of the owner of the directory they are in are
// followed. The error is of type Error where there is something else, and wraps
// fs.ErrNotExist or fs.ErrPermission as that of os.Open does.
func Open(path string) (*os.File, error) {
	e, err := find(path, true)
	if err != nil {
		return nil, err
	}
	defer e.close()
	return e.open(unix.O_RDONLY, 0)
}

// OpenOwn opens the regular file at path with flags such as os.O_RDWR and
// os.O_CREATE. It is for files that a program keeps for itself: path is no link,
// the file has no second name, and where several users may make files it was
// made by this one, by root or by the owner of the directory. The error is as
// that of Open.
func OpenOwn(path string, flags int, mode fs.FileMode) (*os.File, error) {
	e, err := find(path, false)
	if err != nil {
		return nil, err
	}
	defer e.close()
	file, err := e.open(flags, mode)
	if err != nil {
		return nil, err
	}
	if err := own(file, e.in); err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	return file, nil
}

// MakeDirectory makes a directory and those on its way that are missing, with mode
// 0755 less the umask. It follows links as Open does.
func MakeDirectory(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	e, err := find(path, true)
	if errors.Is(err, fs.ErrNotExist) && path != "/" {
		if err := MakeDirectory(filepath.Dir(path)); err != nil {
			return err
		}
		e, err = find(path, true)
	}
	if err != nil {
		return err
	}
	defer e.close()
	if e.entry != nil && e.entry.kind() == unix.S_IFDIR {
		return nil
	}
	if err := unix.Mkdirat(e.dir, e.name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return &fs.PathError{Op: "mkdir", Path: e.path(), Err: err}
	}
	return nil
}

func find(path string, last bool) (end, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return end{}, err
	}
	return walk(path, last, unplanted)
}

// open opens what is under the name, as it is now.
func (e end) open(flags int, mode fs.FileMode) (*os.File, error) {
	if e.entry != nil {
		// A driver may do things as soon as its device is opened.
		if err := regular(*e.entry); err != nil {
			return nil, err
		}
	}
	path := e.path()
	fd, err := unix.Openat(e.dir, e.name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	now := entry{path: path}
	err = unix.Fstat(fd, &now.stat)
	if err == nil {
		err = regular(now)
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	return file, nil
}

// regular returns an Error unless e is a regular file.
func regular(e entry) error {
	what := map[uint32]string{
		unix.S_IFLNK:  "is a symbolic link: name the file itself",
		unix.S_IFDIR:  "is a directory",
		unix.S_IFIFO:  "is a named pipe, not a regular file",
		unix.S_IFSOCK: "is a socket, not a regular file",
		unix.S_IFCHR:  "is a device, not a regular file",
		unix.S_IFBLK:  "is a device, not a regular file",
	}[e.kind()]
	if e.kind() == unix.S_IFREG {
		return nil
	}
	return Error{e.path, what}
}

// own returns an Error if another user may have put the file there.
func own(file *os.File, in entry) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return err
	}
	maker := int(stat.Uid)
	switch {
	case stat.Nlink > 1:
		return Error{file.Name(), fmt.Sprintf("has %d names: what is written to it would be written to another file too", stat.Nlink)}
	case maker == os.Geteuid(), maker == 0, !in.open(), maker == int(in.stat.Uid):
		return nil
	}
	return Error{file.Name(), fmt.Sprintf("belongs to user %s, in a directory that others can write", userName(stat.Uid))}
}
