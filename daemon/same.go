package daemon

import (
	"os"
	"path/filepath"
)

// SameFile says that two absolute paths lead to one file, or will once it is
// made: by links, by another spelling or as two names of a file.
func SameFile(a, b string) bool {
	if resolved(a) == resolved(b) {
		return true
	}
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// resolved returns a path without links as far as it is there.
func resolved(path string) string {
	path = filepath.Clean(path)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	// A link whose target is missing leads there none the less.
	if target, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		if filepath.Clean(target) != path {
			return filepath.Join(resolved(filepath.Dir(target)), filepath.Base(target))
		}
	}
	return filepath.Join(resolved(dir), filepath.Base(path))
}
