package postgres

import "time"

// A kept session can outlive what it says: its role was dropped and made again,
// its database became writable, its table moved out of the search_path. What is
// refused on it is believed only when a new session has got the same, and then
// for a while, so that a node that is refused for good is not connected to anew at
// every look.

// believedFor is how long a refusal that a new session has got is believed.
const believedFor = 30 * time.Second

// doubt is what a session knows of its refusals.
type doubt struct {
	old   bool      // it has been asked before: it is not new any more
	code  string    // the SQLSTATE with which it was refused when it was new
	since time.Time // when that was
	stale bool      // it is of no more use, though it works
}

// doubts reports whether a refusal, "" for none, may be the session's own and not
// the server's. It is to be asked once an exchange.
func (d *doubt) doubts(code string, now time.Time) bool {
	isNew := !d.old
	d.old = true
	switch {
	case code == "":
		return false
	case isNew:
		d.code, d.since = code, now
		return false
	}
	return code != d.code || now.Sub(d.since) > believedFor
}

// otherServer stands for an SQLSTATE where the answer is from another server than
// the session was made with.
const otherServer = "another server"

// ofSession returns the SQLSTATE of an answer that depends on what a session
// found when it began, "" for any other answer.
func (r reply) ofSession() string {
	if r.err == nil || len(r.err.Code) != 5 {
		return ""
	}
	switch r.err.Code[:2] {
	case "0A", "25", "26", "28", "3D", "3F", "42":
		return r.err.Code
	}
	return ""
}
