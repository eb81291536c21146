package main

import "plusmoin/status"

// daemonGone reports whether it can be seen that no process holds the lock beside
// the status file at path, as after a kill.
func daemonGone(path string) bool {
	_, held, err := status.Held(path)
	return err == nil && !held
}
