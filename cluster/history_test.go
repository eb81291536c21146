package cluster_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"plusmoin/cluster"
)

// history remembers everything that was seen and sent since a monitor was
// started, and judges every round by it, by brute force and from the words of
// the rules alone.
type history struct {
	faults []string
	slack  time.Duration // by how much a judgement about time may be off
	lastID int64         // of events, over all runs
	rounds int           // judged so far

	// These hold over all runs that a state file connects.
	lines   map[int]map[string]bool // of each cluster
	servers map[int]string          // the server that took its last beat, "" if not known

	run
}

// run is what is known since the last start.
type run struct {
	base      cluster.Stamp // the stamp of Elapsed 0, 0 while unknown
	sent      []sentBeat
	confirmed map[int][]sentBeat // of each cluster
	clocks    map[int]*beatClock
	masters   map[int][]cluster.Node  // of each cluster, in order of time
	claims    map[int]map[string]bool // names in rows that were read during the start
	ids       map[int]cluster.Node    // who was first to try an id after the start
	existed   map[int]bool            // clusters that were seen in a snapshot
	foreign   map[int]map[string]bool // "id name" of rows of others seen on a cluster's master
	refused   map[cluster.Node]bool   // candidates whose last beat was not confirmed
	changed   map[int]time.Duration   // when each cluster last changed
	fails     map[cluster.Node]*failing
	good      map[cluster.Node]time.Duration // first good round after the last failure
	// surelyGood is the same if a candidate fails whose beat is not confirmed,
	// which the rules leave open.
	surelyGood map[cluster.Node]time.Duration
}

// sentBeat is a beat and what became of it.
type sentBeat struct {
	cluster.Beat
	confirmed bool
	clock     time.Duration // of its cluster when it was confirmed
}

// beatClock counts the time in which the masters of a cluster confirmed beats.
type beatClock struct {
	time   time.Duration
	master cluster.Node
	last   time.Duration // Elapsed of the last confirmed round
	whole  bool          // the round before this one was confirmed too
}

// failing is a row of rounds in which a node failed.
type failing struct {
	since time.Duration
	murky bool // part of it is the beat of a candidate, which the rules leave open
}

func newHistory() *history { return &history{run: newRun()} }

func newRun() run {
	return run{
		clocks: map[int]*beatClock{}, confirmed: map[int][]sentBeat{}, masters: map[int][]cluster.Node{}, claims: map[int]map[string]bool{},
		ids: map[int]cluster.Node{}, existed: map[int]bool{}, foreign: map[int]map[string]bool{},
		changed: map[int]time.Duration{}, refused: map[cluster.Node]bool{},
		fails: map[cluster.Node]*failing{}, good: map[cluster.Node]time.Duration{},
		surelyGood: map[cluster.Node]time.Duration{},
	}
}

func (h *history) fault(r round, format string, args ...any) {
	h.faults = append(h.faults, fmt.Sprintf("%ss: ", seconds(r.at))+fmt.Sprintf(format, args...))
}

// watch judges a round and then remembers it.
func (h *history) watch(r round) {
	if r.first {
		h.run = newRun()
		if !r.restored {
			h.lines, h.servers = map[int]map[string]bool{}, map[int]string{}
		}
	}
	h.judgeShape(r)
	h.judgeEvents(r)
	if r.reload {
		h.remember(r)
		return
	}
	h.judgeRepeat(r)
	h.judgeBeats(r)
	h.takeIn(r)
	h.noteChanges(r)
	h.judgePace(r)
	if !r.before.Starting && !r.after.Starting && !r.first {
		h.judgeMasters(r)
		h.judgeSlaves(r)
	}
	h.remember(r)
}

// takeIn adds the sightings and beats of a round to the history.
func (h *history) takeIn(r round) {
	for _, n := range r.config.Nodes {
		h.takeInNode(r, n.Node)
	}
	confirmed := map[int]cluster.Node{}
	for _, b := range r.beats {
		s := sentBeat{Beat: b, confirmed: r.sent[b.Node].Verdict == cluster.Confirmed}
		if s.confirmed {
			confirmed[b.Row.Cluster] = b.Node
		}
		h.sent = append(h.sent, s)
	}
	for id, clock := range h.clocks {
		if _, ok := confirmed[id]; !ok {
			clock.whole = false
		}
	}
	for id, n := range confirmed {
		h.tick(r, id, n)
	}
	for i := len(h.sent) - len(r.beats); i < len(h.sent); i++ {
		if s := &h.sent[i]; s.confirmed {
			s.clock = h.clocks[s.Row.Cluster].time
			h.confirmed[s.Row.Cluster] = append(h.confirmed[s.Row.Cluster], *s)
		}
	}
}

// tick moves the clock of a cluster on by a confirmed round.
func (h *history) tick(r round, id int, n cluster.Node) {
	clock := h.clocks[id]
	if clock == nil {
		clock = &beatClock{}
		h.clocks[id] = clock
	}
	if clock.whole && clock.master == n {
		clock.time += r.begun.Elapsed - clock.last
	}
	clock.master, clock.last, clock.whole = n, r.begun.Elapsed, true
}

func (h *history) takeInNode(r round, n cluster.Node) {
	seen := r.seen[n]
	out, sent := r.sent[n]
	refused := sent && out.Verdict != cluster.Confirmed
	murky := refused && placeOf(r.before, n).place != cluster.Master
	// A candidate that was refused goes on failing while another is tried.
	switch {
	case murky:
		h.refused[n] = true
	case sent || seen.Slave || placeOf(r.after, n).place == cluster.Clusterless:
		delete(h.refused, n)
	}
	murky = murky || h.refused[n] && seen.Outcome == cluster.Answered
	silent := seen.Outcome != cluster.Answered || refused && !murky
	since := r.begun.Elapsed
	if seen.Outcome == cluster.Answered {
		since = r.ended.Elapsed // a failed beat counts from the end of its round
	}
	keepFirst(h.good, n, silent, r.begun.Elapsed)
	keepFirst(h.surelyGood, n, silent || murky, r.begun.Elapsed)
	switch {
	case !silent && !murky:
		delete(h.fails, n)
	case h.fails[n] == nil:
		h.fails[n] = &failing{since: since, murky: murky}
	default:
		h.fails[n].murky = h.fails[n].murky || murky
	}
	if seen.Outcome == cluster.Answered && seen.Row != nil && (r.before.Starting || r.first) {
		h.claim(seen.Row.Cluster, seen.Row.Master)
	}
	h.takeInForeign(r, n)
}

// ever and never are since when a node is good that has not failed yet, and
// one that fails.
const (
	ever  = -time.Duration(1 << 60)
	never = time.Duration(1 << 60)
)

// keepFirst keeps the first good round after the last failure.
func keepFirst(good map[cluster.Node]time.Duration, n cluster.Node, bad bool, now time.Duration) {
	since, known := good[n]
	switch {
	case bad:
		good[n] = never
	case !known:
		good[n] = ever
	case since == never:
		good[n] = now
	}
}

func (h *history) claim(id int, name string) {
	if h.lines[id] == nil {
		h.lines[id] = map[string]bool{}
	}
	h.lines[id][cluster.CanonicalName(name)] = true
	if h.claims[id] == nil {
		h.claims[id] = map[string]bool{}
	}
	h.claims[id][name] = true
}

// takeInForeign notices rows on a master that somebody else wrote.
func (h *history) takeInForeign(r round, n cluster.Node) {
	seen, was := r.seen[n], placeOf(r.before, n)
	if was.place != cluster.Master || seen.Outcome != cluster.Answered || seen.Slave || seen.Row == nil {
		return
	}
	if left := placeOf(r.after, n); left.cluster != was.cluster {
		return // it was found to be another server
	}
	if len(h.matching(r, *seen.Row)) > 0 {
		return
	}
	if ours := h.confirmed[was.cluster]; len(ours) == 0 || ours[len(ours)-1].Node != n {
		return // what it had before its first beat
	}
	if h.foreign[was.cluster] == nil {
		h.foreign[was.cluster] = map[string]bool{}
	}
	h.foreign[was.cluster][likeness(*seen.Row)] = true
}

func likeness(row cluster.Row) string { return fmt.Sprint(row.Cluster, " ", row.Master) }

// noteChanges keeps when a cluster last changed.
func (h *history) noteChanges(r round) {
	before := map[int]cluster.Cluster{}
	for _, c := range r.before.Clusters {
		before[c.ID] = c
	}
	for _, c := range r.after.Clusters {
		was, ok := before[c.ID]
		same := ok && was.HasMaster == c.HasMaster && len(was.Slaves) == len(c.Slaves) && len(was.Lost) == len(c.Lost)
		if !same {
			h.changed[c.ID] = r.begun.Elapsed
		}
	}
}

// judgePace wants rounds to hurry while anything is open.
func (h *history) judgePace(r round) {
	if r.unsettled {
		return
	}
	if r.after.Starting {
		h.fault(r, "the start is not settled, the rounds are")
	}
	for name, d := range r.after.Nodes {
		if d.Suspect {
			h.fault(r, "%s is suspect, the rounds are settled", name)
		}
	}
	for _, c := range r.after.Clusters {
		if c.Master != nil {
			continue
		}
		if changed := h.changed[c.ID]; !r.first && r.begun.Elapsed-changed < 10*time.Minute {
			h.fault(r, "%d has no master, changed at %v, and the rounds are settled", c.ID, changed)
		}
	}
}

// remember keeps what the next round is judged by.
func (h *history) remember(r round) {
	for _, c := range r.after.Clusters {
		h.existed[c.ID] = true
		if c.Master == nil {
			continue
		}
		n := cluster.Node{Host: c.Master.Host, Port: c.Master.Port}
		if r.sent[n].Verdict == cluster.Confirmed {
			h.servers[c.ID] = identity(r.seen[n])
		}
		if h.lines[c.ID] == nil {
			h.lines[c.ID] = map[string]bool{}
		}
		h.lines[c.ID][n.String()] = true
		if m := h.masters[c.ID]; len(m) == 0 || m[len(m)-1] != n {
			h.masters[c.ID] = append(m, n)
		}
	}
	configured := map[cluster.Node]bool{}
	for _, n := range r.config.Nodes {
		configured[n.Node] = true
	}
	for n := range h.fails {
		if !configured[n] {
			delete(h.fails, n)
		}
	}
	for n := range h.good {
		if !configured[n] {
			delete(h.good, n)
		}
	}
	for n := range h.surelyGood {
		if !configured[n] {
			delete(h.surelyGood, n)
		}
	}
}

// matching returns the beats of this run that a row read in this round can be.
// A coarse row can be any beat of its second.
func (h *history) matching(r round, row cluster.Row) []sentBeat {
	from, to := row.Stamp, row.Stamp
	if row.Coarse {
		from = cluster.StampOf(row.Stamp.Seconds(), 0)
		to = cluster.StampOf(row.Stamp.Seconds(), 999_999)
	}
	var found []sentBeat
	for _, s := range h.sent[firstFrom(h.sent, from):] {
		if s.Row.Stamp > to || len(r.beats) > 0 && s.Row.Stamp >= r.beats[0].Row.Stamp {
			break
		}
		if s.Row.Cluster == row.Cluster && s.Row.Master == row.Master {
			found = append(found, s)
		}
	}
	return found
}

// firstFrom returns the place of the first beat with at least this stamp.
func firstFrom(beats []sentBeat, stamp cluster.Stamp) int {
	i, _ := slices.BinarySearchFunc(beats, stamp, func(s sentBeat, t cluster.Stamp) int {
		return cmp.Compare(s.Row.Stamp, t)
	})
	return i
}

// lag is the lag of a slave in a cluster by its definition, false for null.
func (h *history) lag(r round, id int, row *cluster.Row) (time.Duration, bool) {
	if row == nil {
		return 0, false
	}
	ours := len(h.matching(r, *row)) > 0
	if !ours && (row.Stamp > h.base || h.foreign[id][likeness(*row)]) {
		return 0, false
	}
	earlier := h.confirmed[id]
	if n := len(earlier); n > 0 && len(r.beats) > 0 && earlier[n-1].Row.Stamp >= r.beats[0].Row.Stamp {
		earlier = earlier[:n-1]
	}
	if len(earlier) == 0 {
		return 0, false
	}
	newer := row.Stamp + 1
	if row.Coarse {
		newer = cluster.StampOf(row.Stamp.Seconds()+1, 0)
	}
	i := firstFrom(earlier, newer)
	if i == len(earlier) {
		return 0, true
	}
	return h.clocks[id].time - earlier[i].clock, true
}

// spot is where a node stands.
type spot struct {
	cluster int
	place   cluster.Place
}

func placeOf(s cluster.Snapshot, n cluster.Node) spot { return spots(s)[n] }

// spots returns where every node of a snapshot stands.
func spots(s cluster.Snapshot) map[cluster.Node]spot {
	all := map[cluster.Node]spot{}
	put := func(e cluster.Entry, at spot) { all[cluster.Node{Host: e.Host, Port: e.Port}] = at }
	for _, c := range s.Clusters {
		if c.Master != nil {
			put(*c.Master, spot{c.ID, cluster.Master})
		}
		for _, e := range c.Slaves {
			put(e, spot{c.ID, cluster.Slave})
		}
		for _, e := range c.Lost {
			put(e, spot{c.ID, cluster.Lost})
		}
	}
	for _, e := range s.Clusterless {
		put(e, spot{cluster.NoCluster, cluster.Clusterless})
	}
	return all
}
