package postgres

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
)

// crampedVar makes the test binary look at nodes on a port, with few
// descriptors.
const crampedVar = "PLUSMOIN_TEST_CRAMPED_PORT"

// A process that may have too few descriptors is told so, with both numbers. It
// goes on with the nodes that it can connect to and says of the others why not.
func TestTooFewDescriptors(t *testing.T) {
	if port := os.Getenv(crampedVar); port != "" {
		cramped(t, port)
		return
	}
	port := everywhere(t, speaker{}.serve)
	cmd := exec.Command(os.Args[0], "-test.run=^TestTooFewDescriptors$", "-test.v")
	cmd.Env = append(os.Environ(), crampedVar+"="+strconv.Itoa(port))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("resources")) {
		t.Errorf("the child did nothing:\n%s", out)
	}
}

func cramped(t *testing.T, port string) {
	const limit, count = 60, 100
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}))
	want := fmt.Sprintf("%d nodes need %d file descriptors and no more than %d can be had", count, count+spareDescriptors, limit)
	if err := CheckDescriptors(count); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	f := openFleet(t, labSettings())
	at, err := strconv.Atoi(port)
	must(t, err)
	nodes := []cluster.Node{{Host: "localhost", Port: at}}
	for i := range count - 1 {
		nodes = append(nodes, cluster.Node{Host: fmt.Sprintf("127.0.3.%d", i+1), Port: at})
	}
	var good int
	for range 3 {
		good = 0
		for n, seen := range f.Look(t.Context(), nodes, nil) {
			switch {
			case answered(seen):
				good++
			case seen.Reason != cluster.ReasonResources:
				t.Errorf("%v: %+v", n, seen)
			}
		}
	}
	if good == 0 || good >= limit {
		t.Errorf("%d nodes answered", good)
	}
	t.Logf("%d of %d answered, the others lack resources", good, count)
}

// everywhere serves a port of all loopback addresses.
func everywhere(t *testing.T, serve func(net.Conn)) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	must(t, err)
	serveOn(t, listener, serve)
	return listener.Addr().(*net.TCPAddr).Port
}
