package cluster_test

import "time"

// receiverTimeout is wal_receiver_timeout, PostgreSQL's default: a receiver
// that hears nothing for so long ends. After half of it the receiver asks its
// upstream for a word, which is all that comes from an idle one.
const receiverTimeout = time.Minute

// receive lets the receiver of s take what its upstream has for it.
func (w *world) receive(s *server) {
	if !s.slave || s.state != up {
		return
	}
	from := w.names[s.upstream]
	switch {
	case from == nil || from == s || s.cut || from.state == down || from.state == starting:
		s.running = false
	case s.parted || from.state == frozen:
		s.running = s.running && w.now-s.heard < receiverTimeout
	case !from.head.contains(s.head):
		s.running = false
	case !s.running || from.head != s.head:
		s.running, s.heard, s.head = true, w.now, from.head
	default:
		s.heard += (w.now - s.heard).Truncate(receiverTimeout / 2)
	}
}
