package postgres

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// socket is a connection whose reads and writes the scheduler is not told of. They
// never block, since the descriptor does not, and to tell it wakes the thread that
// watches over system calls which do: at ten rounds a second that thread alone took
// a sixth of the processor time. A reader and a writer may use it at once, but no
// two of either.
type socket struct {
	net.Conn
	raw              syscall.RawConn
	reading, writing transfer
}

// transfer is a read or a write under way.
type transfer struct {
	call uintptr // the number of the system call
	name string
	rest []byte // to be filled or sent
	n    int    // bytes done
	err  error
	try  func(descriptor uintptr) bool // made once, not at every transfer
}

// unheard returns the connection as a socket if it is one of the system's.
func unheard(conn net.Conn) net.Conn {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return conn
	}
	s := &socket{Conn: conn, raw: raw}
	s.reading = transfer{call: syscall.SYS_READ, name: "read", try: s.reading.some}
	s.writing = transfer{call: syscall.SYS_WRITE, name: "write", try: s.writing.all}
	return s
}

// Read reads what is there, and waits until something is.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &s.reading
	t.rest, t.n, t.err = p, 0, nil
	err := errors.Join(s.raw.Read(t.try), t.err)
	t.rest = nil
	if err == nil && t.n == 0 {
		return 0, io.EOF
	}
	return t.n, s.explain(t, err)
}

// Write writes all of p.
func (s *socket) Write(p []byte) (int, error) {
	t := &s.writing
	t.rest, t.n, t.err = p, 0, nil
	err := errors.Join(s.raw.Write(t.try), t.err)
	t.rest = nil
	return t.n, s.explain(t, err)
}

// explain returns an error as package net gives it.
func (s *socket) explain(t *transfer, err error) error {
	if err == nil {
		return nil
	}
	var known *net.OpError
	if errors.As(err, &known) { // the connection was closed, or its deadline passed
		err = known.Err
	}
	return &net.OpError{Op: t.name, Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// some makes one system call and returns false if there is nothing to be done yet.
func (t *transfer) some(descriptor uintptr) bool {
	for {
		start := unsafe.Pointer(unsafe.SliceData(t.rest)) //nolint:gosec // the system is told where to read or write
		n, _, errno := syscall.RawSyscall(t.call, descriptor, uintptr(start), uintptr(len(t.rest)))
		switch {
		case errno == 0:
			t.n += int(n)
			t.rest = t.rest[n:]
			return true
		case errno == syscall.EAGAIN:
			return false
		case errno != syscall.EINTR:
			t.err = os.NewSyscallError(t.name, errno)
			return true
		}
	}
}

// all makes system calls until all is done.
func (t *transfer) all(descriptor uintptr) bool {
	for len(t.rest) > 0 && t.err == nil {
		if !t.some(descriptor) {
			return false
		}
	}
	return true
}
