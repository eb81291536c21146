package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
	slot := slotOf(ctx)
	slot.dialing()
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.raw = slot.watch(unheard(conn))
	return d.raw, nil
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
