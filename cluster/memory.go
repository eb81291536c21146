package cluster

import (
	"slices"
	"time"
)

// The bounds of a memory. Beyond them beats are thinned out, so that days are
// remembered in little room, the coarser the longer ago.
const (
	recentBeats = 64
	fewestOld   = 1024
	mostOld     = 16384
)

// beat is one that was sent in this run.
type beat struct {
	stamp     Stamp
	master    string
	mark      time.Duration // the cluster's clock when it was confirmed
	confirmed bool
	dropped   int32 // how many before it, up to the one kept, were thinned out
}

// memory holds the beats of one cluster, oldest first. It is a value: adding
// to it leaves copies made before as they were.
type memory struct {
	old     []beat // never written to once made
	recent  []beat // copied whenever it grows
	first   Stamp  // of the first beat ever added
	anchor  beat   // the first that was confirmed; never thinned out
	thinned Stamp  // beats up to this one may have been dropped
}

// add remembers a beat. Beats are to be remembered one by one for reach if one
// a second is sent.
func (m memory) add(b beat, reach time.Duration) memory {
	if m.first == 0 {
		m.first = b.stamp
	}
	if b.confirmed && !m.anchor.confirmed {
		m.anchor = b
	}
	if len(m.recent) < recentBeats {
		m.recent = append(slices.Clip(m.recent), b)
		return m
	}
	m.old = slices.Concat(m.old, m.recent)
	m.recent = []beat{b}
	if len(m.old) > min(max(fewestOld, int(reach/time.Second)*5/4), mostOld) {
		m.thin()
	}
	return m
}

// thin makes room in the older half: beats that were not confirmed go first,
// else every second one, but never the newest that was confirmed.
func (m *memory) thin() {
	half := len(m.old) / 2
	m.thinned = max(m.thinned, m.old[half-1].stamp)
	all := !slices.ContainsFunc(m.old[:half], func(b beat) bool { return !b.confirmed })
	kept := make([]beat, 0, len(m.old))
	dropped := int32(0)
	for i, b := range m.old {
		switch {
		case i < half && !b.confirmed:
			continue
		case i < half && all && (half-i)%2 == 0:
			dropped += b.dropped + 1
			continue
		}
		b.dropped += dropped
		kept, dropped = append(kept, b), 0
	}
	m.old = kept
}

// match returns the stamp of the beat that a row of that master and stamp is.
// A coarse row is taken for the last beat of its second: taking it for an
// earlier one would call a slave late that is not.
func (m memory) match(row Row) (Stamp, bool) {
	for _, beats := range [][]beat{m.recent, m.old} {
		for i := m.upTo(beats, row) - 1; i >= 0; i-- {
			b := beats[i]
			if b.stamp < row.Stamp {
				break
			}
			if b.master == row.Master {
				return b.stamp, true
			}
		}
	}
	return row.Stamp, false
}

// upTo returns how many of beats are not later than the row can be.
func (m memory) upTo(beats []beat, row Row) int {
	last := row.Stamp
	if row.Coarse {
		last += 999_999
	}
	n, _ := slices.BinarySearchFunc(beats, last, func(b beat, s Stamp) int {
		if b.stamp <= s {
			return -1
		}
		return 1
	})
	return n
}

// forgot reports whether a beat of that stamp may have been sent and thinned out.
func (m memory) forgot(s Stamp) bool {
	return m.thinned != 0 && s >= m.first && s <= m.thinned
}

// lacked returns by which mark the oldest confirmed beat later than s was
// confirmed, and false if there is none. Where beats were thinned out it is
// reckoned from the beat kept before s at the pace of the stamps, so that what is
// lacked goes on growing for ever.
func (m memory) lacked(s Stamp) (time.Duration, bool) {
	after, ok := m.after(s)
	if !ok || s < m.anchor.stamp {
		return m.anchor.mark, ok
	}
	if after.dropped == 0 {
		return after.mark, true
	}
	before := m.before(s)
	pace := after.stamp.Sub(before.stamp) / time.Duration(after.dropped+1)
	return min(after.mark, before.mark+s.Sub(before.stamp)+pace), true
}

// after returns the oldest confirmed beat kept that is later than s.
func (m memory) after(s Stamp) (beat, bool) {
	for _, beats := range [][]beat{m.old, m.recent} {
		for _, b := range beats[m.upTo(beats, Row{Stamp: s}):] {
			if b.confirmed {
				return b, true
			}
		}
	}
	return beat{}, false
}

// before returns the newest confirmed beat kept that is not later than s, the
// anchor if no other is.
func (m memory) before(s Stamp) beat {
	for i := m.upTo(m.old, Row{Stamp: s}) - 1; i >= 0; i-- {
		if m.old[i].confirmed {
			return m.old[i]
		}
	}
	return m.anchor
}

// confirmedAny reports whether there is a confirmed beat at all.
func (m memory) confirmedAny() bool { return m.anchor.confirmed }

// newest returns the newest confirmed beat.
func (m memory) newest() (beat, bool) {
	for _, beats := range [][]beat{m.recent, m.old} {
		for i := len(beats) - 1; i >= 0; i-- {
			if beats[i].confirmed {
				return beats[i], true
			}
		}
	}
	return beat{}, false
}
