package pglab

import (
	"errors"
	"fmt"
	"syscall"
)

// heldPort is a free TCP port kept for a server, running or not: a socket that
// is bound but does not listen. PostgreSQL can listen on the port, since both
// sides set SO_REUSEADDR, but the system gives it to nobody else, and clients
// are refused while the server is away.
type heldPort struct {
	socket, number int
}

func holdPort() (*heldPort, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("port: %w", err)
	}
	h := &heldPort{socket: fd}
	if err := h.bind(); err != nil {
		return nil, fmt.Errorf("port: %w", errors.Join(err, h.release()))
	}
	return h, nil
}

// bind asks for a port that is free on every address, and only then allows it
// to be shared.
func (h *heldPort) bind() error {
	if err := syscall.Bind(h.socket, &syscall.SockaddrInet4{}); err != nil {
		return err
	}
	name, err := syscall.Getsockname(h.socket)
	if err != nil {
		return err
	}
	h.number = name.(*syscall.SockaddrInet4).Port
	return syscall.SetsockoptInt(h.socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
}

func (h *heldPort) release() error { return syscall.Close(h.socket) }
