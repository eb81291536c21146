package cluster

import (
	"slices"
	"time"
)

// The bounds of a memory. Beyond them beats are thinned out, so that days are
// remembered in little room, the coarser the longer ago: lag is then taken for
// up to a five-hundredth less than it is.
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
}

// memory holds the beats of one cluster, oldest first. It is a value: adding
// to it leaves copies made before as they were.
type memory struct {
	old     []beat // never written to once made
	recent  []beat // copied whenever it grows
	first   Stamp  // the first beat ever added
	thinned Stamp  // beats up to this one may have been dropped
}

// add remembers a beat. Beats are to be remembered one by one for reach if one
// a second is sent.
func (m memory) add(b beat, reach time.Duration) memory {
	if m.first == 0 {
		m.first = b.stamp
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
	kept := make([]beat, 0, len(m.old))
	for _, b := range m.old[:half] {
		if b.confirmed {
			kept = append(kept, b)
		}
	}
	if len(kept) == half {
		kept = kept[:0]
		for i := (half + 1) % 2; i < half; i += 2 {
			kept = append(kept, m.old[i])
		}
	}
	m.old = append(kept, m.old[half:]...)
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

// forgot says that a beat of that stamp may have been sent and thinned out.
func (m memory) forgot(s Stamp) bool {
	return m.thinned != 0 && s >= m.first && s <= m.thinned
}

// after returns the mark of the oldest confirmed beat later than s.
func (m memory) after(s Stamp) (time.Duration, bool) {
	for _, beats := range [][]beat{m.old, m.recent} {
		for _, b := range beats[m.upTo(beats, Row{Stamp: s}):] {
			if b.confirmed {
				return b.mark, true
			}
		}
	}
	return 0, false
}

// confirmedAny says that there is a confirmed beat at all.
func (m memory) confirmedAny() bool {
	_, ok := m.after(-1)
	return ok
}

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
