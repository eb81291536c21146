package postgres

import "time"

// A kept session can outlive what it says: its role was dropped and made again,
// its database became writable, its table moved out of the search_path. What is
// refused on it is believed only when a new session has got the same, and then
// for a while, so that a node that is refused for good is not connected to anew at
// every look.

// believedFor is how long a refusal that a new session has got is believed.
const believedFor = 30 * time.Second

// doubt is what a session knows of the refusals of looks, or of beats.
type doubt struct {
	code  string    // the SQLSTATE that a new session got; "" if the last answer was none
	since time.Time // when that was
}

// doubts reports whether a refusal, "" for none, may be the session's own and not
// the server's. isNew says that it was the first thing that the session was asked.
func (d *doubt) doubts(code string, isNew bool, now time.Time) bool {
	switch {
	case code == "":
		*d = doubt{}
		return false
	case isNew:
		*d = doubt{code, now}
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
