package plainfile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Guarded returns an Error if anybody but root can change what the file at path
// says: it, every directory on its way and every link belong to root, and nobody
// else can write them. A directory of root's in which users can make files but
// not replace those of others, as /tmp, is safe.
func Guarded(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	e, err := walk(path, true, guarded)
	if err != nil {
		return err
	}
	e.close()
	return nil
}

func guarded(in, found entry) error {
	if in.path == "/" {
		if err := solid(in); err != nil {
			return err
		}
	}
	return solid(found)
}

// solid returns an Error if anybody but root can change e.
func solid(e entry) error {
	sticky := e.kind() == unix.S_IFDIR && e.stat.Mode&unix.S_ISVTX != 0
	switch {
	case e.stat.Uid != 0:
		return Error{e.path, "belongs to user " + userName(e.stat.Uid)}
	case e.kind() != unix.S_IFLNK && e.open() && !sticky:
		return Error{e.path, "can be written by others"}
	}
	return nil
}

// Exposed returns an Error if another user than this one and root can replace
// files in the directory of path.
func Exposed(path string) error {
	e, err := find(path, false)
	if err != nil {
		return err
	}
	defer e.close()
	sticky := e.in.stat.Mode&unix.S_ISVTX != 0
	switch maker := int(e.in.stat.Uid); {
	case maker != 0 && maker != os.Geteuid():
		return Error{e.in.path, "belongs to user " + userName(e.in.stat.Uid)}
	case e.in.open() && !sticky:
		return Error{e.in.path, "can be written by others"}
	}
	return nil
}
