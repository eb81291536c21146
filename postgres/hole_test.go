package postgres

import (
	"context"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"plusmoin/cluster"
)

// hole returns an address that swallows packets: that of a listener which
// accepts nobody and has no room for more who wait.
func hole(t *testing.T) address {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, syscall.Listen(fd, 0))
	bound, err := syscall.Getsockname(fd)
	must(t, err)
	a := address{"tcp", "127.0.0.1:" + strconv.Itoa(bound.(*syscall.SockaddrInet4).Port)}
	for range 100 {
		conn, err := net.DialTimeout(a.network, a.name, 200*time.Millisecond)
		if err != nil {
			return a
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("there is always room for one more")
	return a
}

// Of a name with two addresses the first of which swallows packets, or lets
// nobody in, the other one is had without delay, and first the next time.
func TestFirstAddressIsSilent(t *testing.T) {
	good := fakeServer(t, speaker{}.serve)
	mute := fakeServer(t, silence)
	at := func(n cluster.Node) address { return address{"tcp", n.String()} }
	l, err := labSettings().login(good)
	must(t, err)
	for name, c := range map[string]struct {
		first  address
		within time.Duration
	}{
		"black hole":  {hole(t), 2 * time.Second},
		"frozen host": {at(mute), 4 * time.Second}, // half of the time there is, and some
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		w := &way{}
		list := []address{c.first, at(good)}
		began := time.Now()
		on, won, err := race(ctx, w.ordered(list), l.at)
		if took := time.Since(began); err != nil || won != at(good) || took > c.within {
			t.Fatalf("%s: %v at %v after %v", name, err, won, took)
		}
		on.raw.Close()
		w.last = won
		if on, won, err = race(ctx, w.ordered(list), l.at); err != nil || won != at(good) {
			t.Fatalf("%s again: %v at %v", name, err, won)
		}
		on.raw.Close()
		cancel()
	}
}
