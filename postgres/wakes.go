package postgres

import (
	"fmt"
	"time"

	"plusmoin/cluster"
)

// wakes is a node's right to wake the monitor when its connection drops. A node
// that drops again and again and is found well each time loses it, for longer and
// longer: one bad proxy must not set the pace of all. The zero value has the right.
type wakes struct {
	inVain int       // since the node was not well, or had long been quiet
	last   time.Time // when it woke
	asked  bool      // it woke, and no look has told yet whether in vain
}

const (
	// wakesFree may be in vain before a pause is asked for, of a second at first
	// and then twice as long each time.
	wakesFree     = 5
	longestPause  = 10 * time.Minute
	quietRestores = 10 * time.Minute // beyond the pause
)

// pause is for how long the right is lost after the last wake.
func (w *wakes) pause() time.Duration {
	if w.inVain < wakesFree {
		return 0
	}
	return min(time.Second<<min(w.inVain-wakesFree, 20), longestPause)
}

// drop notes that the connection dropped and reports whether that may wake.
func (w *wakes) drop(now time.Time) bool {
	since := now.Sub(w.last)
	if since < w.pause() {
		return false
	}
	if since >= w.pause()+quietRestores {
		w.inVain = 0
	}
	w.last, w.asked = now, true
	return true
}

// well notes that the node was found well: the last wake was in vain. It reports
// whether the right is lost only now.
func (w *wakes) well() bool {
	if !w.asked {
		return false
	}
	w.inVain, w.asked = w.inVain+1, false
	return w.inVain == wakesFree
}

// warning is what is to be said of a node that has lost the right, nothing while
// it has it.
func (w *wakes) warning(now time.Time) fault {
	if now.Sub(w.last) >= w.pause() {
		return fault{}
	}
	return fault{cluster.ReasonDisconnected, fmt.Sprintf(
		"the connection dropped %d times and the server was well each time; until it is quiet its failures are noticed at a heartbeat only", w.inVain)}
}
