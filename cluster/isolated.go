package cluster

import "time"

// longGone is by how much earlier than the last ones a node stopped answering
// that no longer counts among those that could have shown that the fault is
// here.
const longGone = 10 * time.Minute

// allStoppedAtOnce reports whether no node answers and all of them, on at least
// two hosts, stopped within one fail_interval, none with an answer of its host.
// Nodes long gone, or never seen, are left out.
func (t *roundDraft) allStoppedAtOnce() bool {
	last := never
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.answers() || n.sight.Outcome == Failed && n.sight.Reason.fromHost() {
			return false
		}
		if n.known {
			last = max(last, n.failedAt)
		}
	}
	var first *nodeState
	hosts := false
	for i := range t.nodes {
		n := &t.nodes[i]
		switch stopped := last - n.failedAt; {
		case !n.known || stopped > longGone:
		case stopped > t.config.FailInterval || n.trouble.reason.fromHost():
			return false
		case first == nil:
			first = n
		default:
			hosts = hosts || n.onAnotherHost(first)
		}
	}
	return hosts
}

// onAnotherHost reports whether two nodes are on two hosts, as far as is known:
// two names of one server are one.
func (n *nodeState) onAnotherHost(o *nodeState) bool {
	id := n.identity()
	return n.Node.Host != o.Node.Host && (id == identity{} || id != o.identity())
}
