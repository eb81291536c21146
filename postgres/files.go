package postgres

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFile bounds the size in bytes of a file that says how to log on.
const maxFile = 1 << 20

// readFile returns the content of a regular file of at most maxFile bytes, and
// what is known of it. It never waits: a pipe, which would, is refused.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a plain file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	case len(data) > maxFile:
		return nil, nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, info, nil
}

// absent reports whether err says that there is no such file.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// exposed reports whether others than its owner can do anything with a file.
func exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// keyExposed reports whether a private key is open to others by libpq's rule: a
// group may read one that root owns.
func keyExposed(info fs.FileInfo) bool {
	if status, ok := info.Sys().(*syscall.Stat_t); ok && status.Uid == 0 {
		return info.Mode().Perm()&0o037 != 0
	}
	return exposed(info)
}
