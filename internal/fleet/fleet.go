package fleet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Options of a fleet.
type Options struct {
	Nodes  int // at least 1, at most MaxNodes; the last cluster may have fewer slaves
	Slaves int // of each master; 0: masters only
	Port   int // that all nodes share; 0: any that is free
	// Parsed, if not nil, is told the name and the text of every statement that
	// a client prepares. It is called from many goroutines.
	Parsed func(name, sql string)
}

// MaxNodes is the number of nodes for which there are addresses.
const MaxNodes = 250 * 250

// Fleet is the nodes and the connections to them. Its methods may be called at
// any time from any goroutine.
type Fleet struct {
	listener *net.TCPListener
	port     int
	slaves   int
	parsed   func(name, sql string)
	started  time.Time
	ending   chan struct{}
	serving  sync.WaitGroup

	mu     sync.Mutex // guards all below and the state of every node
	nodes  []*node
	closed bool
}

// Open begins to play the nodes of a fleet. The error says what is wrong with
// the options or why the port cannot be had.
func Open(o Options) (*Fleet, error) {
	if o.Nodes < 1 || o.Nodes > MaxNodes || o.Slaves < 0 {
		return nil, fmt.Errorf("a fleet has 1 to %d nodes, and no fewer than 0 slaves a master", MaxNodes)
	}
	// One listener for all addresses of loopback has to listen on all
	// addresses there are; strangers are turned away when they come.
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{Port: o.Port})
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	f := &Fleet{
		listener: listener, port: listener.Addr().(*net.TCPAddr).Port, slaves: o.Slaves, parsed: o.Parsed,
		started: time.Now(), ending: make(chan struct{}),
	}
	for i := range o.Nodes {
		f.nodes = append(f.nodes, newNode(i, f.nodeAddress(i)))
		if up := i - i%(o.Slaves+1); up != i {
			f.nodes[i].follow(f.nodes[up])
		}
	}
	f.serving.Go(f.accept)
	return f, nil
}

// Len returns the number of nodes.
func (f *Fleet) Len() int { return len(f.nodes) }

// Port returns the port that all nodes share.
func (f *Fleet) Port() int { return f.port }

// Address returns host and port of node i, counted from 0. The first node of
// each cluster is its master.
func (f *Fleet) Address(i int) (host string, port int) {
	return Host(i), f.port
}

// Host returns the address of node i, counted from 0 to MaxNodes-1, of any
// fleet.
func Host(i int) string { return fmt.Sprintf("127.1.%d.%d", i/250, i%250+1) }

// index is the reverse of Host; false if there is no such node.
func (f *Fleet) index(address net.Addr) (int, bool) {
	b := address.(*net.TCPAddr).AddrPort().Addr().Unmap().As4()
	i := int(b[2])*250 + int(b[3]) - 1
	return i, b[0] == 127 && b[1] == 1 && b[3] >= 1 && b[3] <= 250 && i < len(f.nodes)
}

func (f *Fleet) nodeAddress(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(Host(i)), uint16(f.port))
}

// Close closes all connections and waits for everything that f started.
func (f *Fleet) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	close(f.ending)
	err := f.listener.Close()
	for _, n := range f.nodes {
		n.reset()
	}
	f.mu.Unlock()
	f.serving.Wait()
	return err
}

// accept takes in clients until the fleet is closed.
func (f *Fleet) accept() {
	for {
		raw, err := f.listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of files: the client will see it
			continue
		}
		if c := f.admit(raw); c != nil {
			f.serving.Go(c.serve)
		}
	}
}

// admit makes a connection to the node that the client asked for, or ends it
// and returns nil.
func (f *Fleet) admit(raw *net.TCPConn) *conn {
	i, known := f.index(raw.LocalAddr())
	peer := raw.RemoteAddr().(*net.TCPAddr)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !known || !peer.IP.IsLoopback() || f.closed || f.nodes[i].fault.down {
		drop(raw)
		return nil
	}
	c := newConn(f, f.nodes[i], raw)
	c.node.conns[c] = struct{}{}
	return c
}

// forget takes an ended connection off the list of its node.
func (f *Fleet) forget(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(c.node.conns, c)
}

// drop ends a connection as a host does that knows nothing of it.
func drop(raw *net.TCPConn) {
	_ = raw.SetLinger(0) // then Close resets; if not, it merely closes
	raw.Close()
}
