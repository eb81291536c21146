package postgres

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// sockets returns both ends of a connection, ours as a socket.
func sockets(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	must(t, err)
	theirs, err = listener.Accept()
	must(t, err)
	t.Cleanup(func() { dialed.Close(); theirs.Close() })
	if _, ok := unheard(dialed).(*socket); !ok {
		t.Fatal("it is no socket")
	}
	return unheard(dialed), theirs
}

// More than the system takes at once goes both ways at once, all of it.
func TestSocketTransfers(t *testing.T) {
	ours, theirs := sockets(t)
	const size = 8 << 20
	text := bytes.Repeat([]byte("plusmoin"), size/8)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.CopyN(theirs, theirs, size)
		echoed <- err
	}()
	wrote := make(chan error, 1)
	go func() {
		n, err := ours.Write(text)
		if n != size {
			err = errors.Join(err, io.ErrShortWrite)
		}
		wrote <- err
	}()
	got := make([]byte, size)
	_, err := io.ReadFull(ours, got)
	must(t, errors.Join(err, <-wrote, <-echoed))
	if !bytes.Equal(got, text) {
		t.Error("what came back is not what was sent")
	}
}

// It fails as any connection does.
func TestSocketErrors(t *testing.T) {
	var some [8]byte
	ours, theirs := sockets(t)
	if n, err := ours.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing to read: %d, %v", n, err)
	}
	must(t, ours.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	if _, err := ours.Read(some[:]); !errors.Is(err, os.ErrDeadlineExceeded) || !late(err) {
		t.Errorf("deadline: %v", err)
	}
	must(t, ours.SetReadDeadline(time.Time{}))
	if _, err := theirs.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	if n, err := ours.Read(some[:]); n != 4 || err != nil {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
	must(t, theirs.(*net.TCPConn).CloseWrite())
	if _, err := ours.Read(some[:]); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	must(t, theirs.(*net.TCPConn).SetLinger(0))
	theirs.Close()
	until(t, func() bool {
		_, err := ours.Write(some[:])
		return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
	}, func() {})

	ours, theirs = sockets(t)
	must(t, theirs.(*net.TCPConn).SetLinger(0))
	theirs.Close()
	_, err := ours.Read(some[:])
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" || op.Addr == nil || !lost(err) {
		t.Errorf("reset: %v", err)
	}
	ours.Close()
	if _, err := ours.Read(some[:]); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
