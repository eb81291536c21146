package postgres

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
)

// HostTimeout is after how long a host that vanished is noticed by an idle
// connection to it: the keepalives begin earlier, and the kernel gives up this
// long after the last sign of life. What was sent to such a host is given up
// after the same time.
const HostTimeout = 4 * time.Second

// address is where a server may be reached.
type address struct{ network, name string }

// isSocket reports whether host is the directory of a Unix socket.
func isSocket(host string) bool { return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") }

// addresses returns where n may be reached. It is called at every connect.
func addresses(ctx context.Context, n cluster.Node) ([]address, error) {
	port := strconv.Itoa(n.Port)
	if isSocket(n.Host) {
		return []address{{"unix", n.Host + "/.s.PGSQL." + port}}, nil
	}
	hosts, err := resolve(ctx, n.Host)
	if err != nil {
		return nil, err
	}
	list := make([]address, len(hosts))
	for i, host := range hosts {
		list[i] = address{"tcp", net.JoinHostPort(host, port)}
	}
	return list, nil
}

// dial connects to one address.
func dial(ctx context.Context, a address) (net.Conn, error) {
	dialer := net.Dialer{
		// Notices a host that vanished under an idle connection.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3},
		Control:         limitUnacknowledged,
	}
	slot := slotOf(ctx)
	slot.dialing()
	conn, err := dialer.DialContext(ctx, a.network, a.name)
	if err != nil {
		return nil, err
	}
	return slot.watch(unheard(conn)), nil
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
