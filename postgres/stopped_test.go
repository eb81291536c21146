//go:build linux

package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
)

// stoppedVar makes the test binary look at a node on a port, in one of the ways
// below.
const stoppedVar = "PLUSMOIN_TEST_STOPPED"

// stopLimit is the query timeout of a process that is stopped for stopTime,
// which is too short for its look to be done again.
const (
	stopLimit = 500 * time.Millisecond
	stopTime  = 700 * time.Millisecond
)

// What a server said while this process was stopped counts, though all deadlines
// have passed when it goes on, and a server that would have answered is given
// the time to do so.
func TestProcessStopped(t *testing.T) {
	if what := os.Getenv(stoppedVar); what != "" {
		way, port, _ := strings.Cut(what, " ")
		lookStopped(t, way, port)
		return
	}
	for way, serve := range map[string]func(*stopper, net.Conn){
		"connect": func(s *stopper, conn net.Conn) {
			s.stop()
			speaker{}.serve(conn)
		},
		"look": func(s *stopper, conn net.Conn) { s.stopAt("SELECT pg_is_in_recovery()").serve(conn) },
		"beat": func(s *stopper, conn net.Conn) { s.stopAt(fineBeatSQL).serve(conn) },
		// The server is slow, and done while the process is stopped after its
		// first look.
		"between": func(s *stopper, conn net.Conn) {
			s.awaitStopped()
			s.goOn()
			speaker{}.serve(conn)
		},
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := &stopper{t: t, started: make(chan struct{})}
			n := fakeServer(t, func(conn net.Conn) {
				s.connections.Add(1)
				serve(s, conn)
			})
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcessStopped$", "-test.v")
			cmd.Env = append(os.Environ(), stoppedVar+"="+way+" "+strconv.Itoa(n.Port))
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			must(t, cmd.Start())
			s.pid = cmd.Process.Pid
			close(s.started)
			if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "all is well") {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if got := s.connections.Load(); got != 1 {
				t.Errorf("%d connections", got)
			}
		})
	}
}

// lookStopped is what the process does that is stopped.
func lookStopped(t *testing.T, way, port string) {
	at, err := strconv.Atoi(port)
	must(t, err)
	n := cluster.Node{Host: "127.0.0.1", Port: at}
	f := openFleet(t, with(func(s *Settings) { s.QueryTimeout = stopLimit }))
	seen := lookAt(t, f, n)
	if way == "between" {
		if answered(seen) {
			t.Fatalf("before: %+v", seen)
		}
		must(t, unix.Kill(unix.Getpid(), unix.SIGSTOP))
		seen = lookAt(t, f, n)
	}
	if !answered(seen) {
		t.Fatalf("%+v", seen)
	}
	if way == "beat" {
		confirmed(t, sendBeat(t, f, beatOf(1, n, 1)))
	}
	fmt.Println("all is well")
}

// stopper stops a process once, and lets it go on.
type stopper struct {
	t           *testing.T
	started     chan struct{}
	pid         int // once it is started
	connections atomic.Int32
	once        sync.Once
}

// stop returns when the process is stopped, and lets it go on after stopTime.
func (s *stopper) stop() {
	s.once.Do(func() {
		<-s.started
		if err := unix.Kill(s.pid, unix.SIGSTOP); err != nil {
			s.t.Error(err)
		}
		s.awaitStopped()
		s.goOn()
	})
}

func (s *stopper) goOn() {
	time.AfterFunc(stopTime, func() {
		if err := unix.Kill(s.pid, unix.SIGCONT); err != nil {
			s.t.Error(err)
		}
	})
}

// stopAt returns a server that stops the process before it executes a statement.
func (s *stopper) stopAt(sql string) speaker {
	return speaker{before: func(_ net.Conn, statement string) bool {
		if statement == sql {
			s.stop()
		}
		return true
	}}
}

func (s *stopper) awaitStopped() {
	<-s.started
	until(s.t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err != nil || strings.HasPrefix(state, "T")
	}, func() { s.t.Log("the process does not stop") })
}
