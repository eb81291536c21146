package cluster

import (
	"math"
	"time"
)

// Stamp is the time of a beat in microseconds since 1970, UTC.
type Stamp int64

// maxStamp is what a row that is nonsense is taken for. Stamps raised above it
// have millennia to grow before they are taken for nonsense themselves.
const maxStamp = Stamp(math.MaxInt64 / 4)

// StampOf returns the stamp that a row's tstamp (seconds) and tstamp_us
// (microseconds, 0 to 999999) stand for. What is before 1970 is taken for 1970,
// and what is so far ahead that it is nonsense for one time far ahead.
func StampOf(seconds int64, micros int) Stamp {
	switch {
	case seconds < 0:
		return 0
	case seconds > int64(maxStamp)/1e6*2:
		return maxStamp
	}
	return Stamp(seconds*1e6 + int64(min(max(micros, 0), 999_999)))
}

// Seconds returns the whole seconds of s, which is what column tstamp holds.
func (s Stamp) Seconds() int64 { return int64(s) / 1e6 }

// Micros returns the microseconds beyond Seconds, which is what column
// tstamp_us holds.
func (s Stamp) Micros() int { return int(int64(s) % 1e6) }

// Sub returns s minus t.
func (s Stamp) Sub(t Stamp) time.Duration { return time.Duration(s-t) * time.Microsecond }

// Add returns s later by d.
func (s Stamp) Add(d time.Duration) Stamp { return s + Stamp(d/time.Microsecond) }

// NoCluster is the id of a row that names no cluster.
const NoCluster = -1

// MaxCluster is the highest id a cluster can have: the heartbeat table keeps
// it in a 32-bit column.
const MaxCluster = math.MaxInt32

// Row is the one row of the heartbeat table. A row on its way to a master is a
// beat.
type Row struct {
	Cluster int    // 0 to MaxCluster; anything else is NoCluster
	Master  string // name of the master that wrote it, see CanonicalName
	Stamp   Stamp
	// Coarse says that the row gave only whole seconds: its table has no
	// column tstamp_us, or the column is null.
	Coarse bool
}

// latest returns the latest stamp that the row can have: one that gave only whole
// seconds stands for the last beat of its second.
func (r *Row) latest() Stamp {
	if r.Coarse {
		return r.Stamp + 999_999
	}
	return r.Stamp
}
