package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// row is what the heartbeat table of a node holds.
type row struct {
	cluster int
	master  string
	seconds int64
	micros  int
}

// fault is what is wrong with a node; the zero value is a healthy one.
type fault struct {
	hung    time.Time     // since when it answers nothing; zero: it does
	slow    time.Duration // how long it thinks about each request
	down    bool          // drops its connections and takes no new ones
	garbage bool          // answers what is no protocol
	sealed  bool          // accepts no beats
	big     int           // bytes of its heartbeat row; 0: as it is
	refusal string        // SQLSTATE with which it refuses new sessions; "": it does not
}

// node is one server. The fleet's mutex guards it, but for what is set at the
// beginning.
type node struct {
	index   int
	address netip.AddrPort

	upstream  *node // nil: it is a master
	followers []*node
	system    uint64
	timeline  int
	beats     int // that it has written or replayed; stands for its position in the WAL
	row       row
	backlog   []row         // that its upstream has for it
	lag       time.Duration // by which it shows beats later than it receives them
	pending   []delivery    // received and not replayed, in the order of due
	fault     fault
	conns     map[*conn]struct{}
}

// delivery is a beat that a slave is to show.
type delivery struct {
	due time.Time
	row row
}

func newNode(i int, address netip.AddrPort) *node {
	return &node{
		index: i, address: address, system: 7_000_000_000_000_000_000 + uint64(i), timeline: 1,
		row: row{cluster: -1, master: "-"}, conns: map[*conn]struct{}{},
	}
}

// works says that n does what servers do beside answering: receive, hand on and
// replay.
func (n *node) works() bool { return n.fault.hung.IsZero() && !n.fault.down }

// follow makes n a slave of up, with all that up has. What n had is no more, for
// its own slaves either, which cannot follow it if it was of another system.
func (n *node) follow(up *node) {
	n.leave()
	for _, s := range n.followers {
		s.backlog = nil
	}
	up.followers = append(up.followers, n)
	n.upstream, n.system, n.timeline, n.beats, n.row = up, up.system, up.timeline, up.beats, up.row
}

// leave cuts n off from its upstream, if it has one.
func (n *node) leave() {
	if n.upstream == nil {
		return
	}
	others := n.upstream.followers
	n.upstream.followers = slices.DeleteFunc(others, func(o *node) bool { return o == n })
	n.upstream, n.backlog, n.pending = nil, nil, nil
}

// promote makes n a master; its own slaves stay its slaves.
func (n *node) promote(now time.Time) {
	if n.upstream == nil {
		return
	}
	n.replay(now)
	n.leave()
	n.timeline++
}

// write puts a beat into n's table and on its way to n's slaves.
func (n *node) write(r row, now time.Time) {
	n.show(r)
	n.handOn(r, now)
}

func (n *node) show(r row) {
	n.row = r
	n.beats++
}

func (n *node) handOn(r row, now time.Time) {
	for _, s := range n.followers {
		if s.system == n.system {
			s.backlog = append(s.backlog, r)
			s.receive(now)
		}
	}
}

// receive lets a slave have what its upstream has for it, unless one of the two
// cannot, and its own slaves after it.
func (n *node) receive(now time.Time) {
	if up := n.upstream; up != nil && up.works() && n.works() {
		n.timeline = up.timeline
		for _, r := range n.backlog {
			n.take(r, now)
		}
		n.backlog = n.backlog[:0]
	}
}

// take lets a slave receive a beat. It hands it on at once, even if it replays
// it later.
func (n *node) take(r row, now time.Time) {
	if n.lag == 0 && len(n.pending) == 0 {
		n.show(r)
	} else {
		n.pending = append(n.pending, delivery{now.Add(n.lag), r})
	}
	n.handOn(r, now)
}

// replay shows the beats that are due.
func (n *node) replay(now time.Time) {
	for len(n.pending) > 0 && !n.pending[0].due.After(now) {
		n.show(n.pending[0].row)
		n.pending = n.pending[1:]
	}
}

// setLag also puts the beats that are on their way where they belong.
func (n *node) setLag(lag time.Duration, now time.Time) {
	for i := range n.pending {
		n.pending[i].due = n.pending[i].due.Add(lag - n.lag)
	}
	n.lag = lag
	n.replay(now)
}

// reset drops all connections.
func (n *node) reset() {
	for c := range n.conns {
		drop(c.raw)
	}
}

// thaw heals n, which goes on where it was, as do those that follow it.
func (n *node) thaw(now time.Time) {
	n.fault = fault{}
	for c := range n.conns {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes whoever waits; a closed one is awake
	}
	n.receive(now)
	for _, s := range n.followers {
		s.receive(now)
	}
}

// lsn is a position in the WAL as PostgreSQL writes it.
func lsn(beats int) string { return fmt.Sprintf("0/%X", 0x3000000+uint32(beats)*128) }
