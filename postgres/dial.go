package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slots bounds how many connects are under way at once, so that a thousand
// servers that come back together are not met by a thousand handshakes.
type slots chan struct{}

const (
	connectsAtOnce = 64
	// A connect that takes longer than this waits for a server, not for us:
	// it keeps no other from starting.
	slotTime = time.Second
)

// take waits for a slot. The slot is given back by calling release or, at the
// latest, after slotTime.
func (s slots) take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	once := sync.OnceFunc(func() { <-s })
	timer := time.AfterFunc(slotTime, once)
	return func() { timer.Stop(); once() }, nil
}

// HostTimeout is after how long a host that vanished is noticed by an idle
// connection to it: the keepalives begin earlier, and the kernel gives up this
// long after the last sign of life. What was sent to such a host is given up
// after the same time.
const HostTimeout = 4 * time.Second

// dialing is the network side of one connect. It is used by one goroutine.
type dialing struct {
	untried int      // addresses
	raw     net.Conn // the last one made, below any TLS
}

// ours marks the context of a connect.
type ours struct{}

// mark returns the context with which a connect that uses d is to be made.
func (d *dialing) mark(ctx context.Context) context.Context {
	return context.WithValue(ctx, ours{}, d)
}

// lookup resolves host. It is called at every connect, before any dial.
func (d *dialing) lookup(ctx context.Context, host string) ([]string, error) {
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	d.untried += len(addresses)
	if err != nil {
		err = errors.Join(err, outOfDescriptors())
	}
	return addresses, err
}

// outOfDescriptors returns an error if there is no file descriptor to be had.
// The resolver does not say so: it takes files that it cannot open for empty
// ones, and the host for one that does not exist.
func outOfDescriptors() error {
	file, err := os.Open(os.DevNull)
	if err == nil {
		file.Close()
	}
	return err
}

// errNoCancel keeps the library from what it does on a broken connection: to
// make another one and cancel the statement there. That one could hang as the
// first did, and the server ends the statement by itself.
var errNoCancel = errors.New("statements are not cancelled")

// dial connects to one address, leaving time for the other addresses.
func (d *dialing) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx.Value(ours{}) != d {
		return nil, errNoCancel
	}
	if deadline, ok := ctx.Deadline(); ok && d.untried > 1 {
		share := time.Until(deadline) / time.Duration(d.untried)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	d.untried--
	dialer := net.Dialer{
		// Notices a host that vanished under an idle connection.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3},
		Control:         limitUnacknowledged,
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil {
		d.raw = conn
	}
	return conn, err
}

// limitUnacknowledged does for data that was sent what keepalives do for an
// idle connection.
func limitUnacknowledged(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(HostTimeout.Milliseconds()))
	})
	return errors.Join(err, failed)
}
