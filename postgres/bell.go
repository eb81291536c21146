package postgres

import (
	"net"
	"sync"
	"time"
)

// bell wakes a goroutine that waits in a read of an idle connection, which is
// all that a goroutine can do there: it cannot wait for a channel as well. To
// ring is to move the read's deadline into the past.
//
// No ring is lost, and none breaks an exchange:
//
//   - Whoever asks puts the request in the channel first and rings then. The
//     waiter hangs the bell first, which takes the deadline away, looks into the
//     channel then, and waits last. If the ring comes before the bell is hung,
//     the request was in the channel by then and the look into it finds it. If
//     it comes later, the deadline that it moves is the one that is waited for,
//     and the read ends at once, even if it has not begun.
//   - The waiter takes the bell down before it does anything else with the
//     connection. A ring after that finds no connection and leaves the deadline
//     of the exchange alone; its request is found when the bell is hung again.
//
// The mutex orders a ring and the two ends of a wait; nothing is awaited under
// it.
type bell struct {
	mu   sync.Mutex
	conn net.Conn // that is waited on; nil while there is nobody to wake
}

// hang begins a wait.
func (b *bell) hang(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	conn.SetReadDeadline(time.Time{})
	b.conn = conn
}

// takeDown ends a wait.
func (b *bell) takeDown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn = nil
}

// ring ends the wait under way, if there is one.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn.SetReadDeadline(past())
	}
}
