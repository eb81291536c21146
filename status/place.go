package status

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// place is a file that is only ever replaced as a whole: a temporary file
// beside it is written and renamed. That has one fixed name, so that a killed
// process leaves one at most, which the next write replaces. Nothing is synced:
// after a crash of the machine nobody asks what a monitor knew before it.
type place struct {
	path, temp string
	rendering  rendering
}

func newPlace(path string) (*place, error) {
	if path == "" {
		return nil, errors.New("no path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// A rename replaces a symbolic link, not what it leads to: that is safe.
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return nil, fmt.Errorf("%s is there and is no regular file", path)
	}
	p := &place{path: path, temp: TempPath(path)}
	_ = os.Remove(p.temp) // write tries again, and says what is wrong
	return p, nil
}

// write replaces the file by one that holds d. After an error the file is what
// it was and there is no temporary file.
func (p *place) write(d Document) (err error) {
	f, err := p.create()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(p.temp)
		}
	}()
	err = p.rendering.encode(f, d) // in one piece
	if err == nil {
		err = f.Chmod(0o644) // which no umask narrows
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(p.temp, p.path)
}

// create makes the temporary file. What is there already was left by a killed
// process, or is not followed.
func (p *place) create() (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | syscall.O_NOFOLLOW
	f, err := os.OpenFile(p.temp, flags, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := os.Remove(p.temp); err != nil {
		return nil, err
	}
	return os.OpenFile(p.temp, flags, 0o600)
}
