package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"plusmoin/config"
	"plusmoin/daemon"
	"plusmoin/internal/plainfile"
	"plusmoin/status"
)

// trusted refuses to let root obey a configuration that others can change: it
// says as whom commands are run, and which.
func trusted(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	err := plainfile.Guarded(path)
	var found plainfile.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return err
	case errors.As(err, &found):
		return hinted{fmt.Errorf("configuration: root obeys daemon_user only in a file that nobody but root can change, and %w", found),
			"keep it in /etc/plusmoin, the directory root's with mode 0750 and the file root's with mode 0640, chgrp both to daemon_user's group; or start plusmoin as the user whose it is"}
	}
	return fmt.Errorf("configuration: %w", err)
}

// foreign tells if root runs what a configuration says that others can change, as
// it may in the foreground: there it has not asked to be another user.
func foreign(path string) string {
	var found plainfile.Error
	if os.Geteuid() != 0 || !errors.As(plainfile.Guarded(path), &found) {
		return ""
	}
	return fmt.Sprintf("root runs the triggers of a configuration that others can change: %s", found)
}

// named is a file with what it is to us.
type named struct{ what, path string }

// separate refuses files that are one: what is written to the one would destroy
// the other. The daemon's own files count only if there is a daemon.
func separate(path string, cfg config.Config, asDaemon bool) error {
	own := []named{
		{"status_file", cfg.StatusFile},
		{"the lock of status_file", status.LockPath(cfg.StatusFile)},
		{"the temporary file of status_file", status.TempPath(cfg.StatusFile)},
	}
	files := []named{{"the configuration", path}}
	if asDaemon {
		files = append(files, named{"pid_file", cfg.PidFile}, named{"log_file", cfg.LogFile})
	}
	for i, a := range files {
		for _, b := range slices.Concat(own, files[i+1:]) {
			if daemon.SameFile(a.path, b.path) {
				return hinted{fmt.Errorf("%s and %s are one file: %s", a.what, b.what, b.path), "give each a name of its own"}
			}
		}
	}
	return nil
}

// exposed tells which files root writes where others can put something else in
// their place.
func exposed(files ...named) []string {
	if os.Geteuid() != 0 {
		return nil
	}
	var list []string
	for _, f := range files {
		if err := plainfile.Exposed(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			list = append(list, fmt.Sprintf("root writes %s into a directory where others can put something else: %s", f.what, err))
		}
	}
	return list
}

// acquireStatus takes the right to write the status file, whose directory is made.
// Without that right plusmoin runs all the same if only the disk is at fault, as
// it does when the status cannot be written; trouble says so then.
func acquireStatus(cfg config.Config, asDaemon bool) (lock *status.Lock, trouble, err error) {
	_ = plainfile.MakeDirectory(filepath.Dir(cfg.StatusFile)) // else it is told below
	lock, err = status.Acquire(cfg.StatusFile, asDaemon)
	var held status.HeldError
	var strange plainfile.Error
	switch {
	case err == nil:
		return lock, nil, nil
	case errors.As(err, &held):
		return nil, nil, hinted{held, "one of the two is enough: name another status_file, or end that one: " + ending(held)}
	case errors.As(err, &strange):
		return nil, nil, hinted{err, "see whose that is, and remove it if nothing needs it; or name another status_file"}
	}
	return nil, err, nil
}

// ending tells how the plusmoin that holds a status file is ended.
func ending(held status.HeldError) string {
	switch {
	case held.PID <= 0:
		return "see on which machine or in which container it runs"
	case status.Daemon(held.Path):
		return "plusmoin stop"
	}
	return fmt.Sprintf("it runs in the foreground, so kill %d, or systemctl stop plusmoin", held.PID)
}
