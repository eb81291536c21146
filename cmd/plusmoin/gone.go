package main

import "plusmoin/status"

// daemonGone reports whether no process holds the lock beside the status file
// at path, as after a kill, and whether that could be seen at all.
func daemonGone(path string) (gone, known bool) {
	_, held, err := status.Held(path)
	return err == nil && !held, err == nil
}
