//go:build linux

package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// impostor listens like a server and gives every connection to serve, which
// need not return before the connection is closed.
func impostor(t *testing.T, name string, serve func(net.Conn)) (node, *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	accepted := new(atomic.Int32)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			done := make(chan struct{})
			serving.Go(func() {
				defer close(done)
				serve(conn)
				conn.Close()
			})
			serving.Go(func() {
				select {
				case <-done:
				case <-t.Context().Done():
					conn.Close()
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return node{name: name, host: "127.0.0.1", port: listener.Addr().(*net.TCPAddr).Port}, accepted
}

// mute reads and never answers.
func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func TestMuteNodesDelayNoOther(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1", "s2")
	m, s1, s2 := servers[0], servers[1], servers[2]
	nodes := nodesOf(m, s1, s2)
	var connects []*atomic.Int32
	for i := range 10 {
		n, accepted := impostor(t, fmt.Sprint("mute", i), mute)
		nodes, connects = append([]node{n}, nodes...), append(connects, accepted)
	}
	// Without a limit on the lag: repointing is not what this is about.
	w := newWatch(t, conf{"heartbeat": 1, "connect_timeout": 60, "max_sync_delay": 60}, nodes...)
	w.start()
	w.Expect("plusmoin_up 0")
	w.UntilReason("mute3", cluster.ReasonConnecting)

	// A node may be found missing a heartbeat after it went, and is declared
	// down fail_interval later; none of that may take a second more.
	const most = 1*time.Second + 2*time.Second
	for _, step := range []struct {
		event string
		do    func() error
	}{
		{"slave_down 0 s2", func() error { return s2.Kill(ctx) }},
		{"slave_up 0 s2", func() error { return s2.Start(ctx) }},
		{"slave_down 0 s2", s2.Freeze},
		{"slave_up 0 s2", s2.Thaw},
		{"master_down 0 m", func() error { return m.Kill(ctx) }},
		{"master_up 0 s1", func() error { return s1.Promote(ctx) }},
	} {
		began := time.Now()
		must(t, step.do())
		done := time.Now()
		if strings.Contains(step.event, "down") {
			done = began
		}
		w.Expect(step.event)
		if took := w.Last().Time.Sub(done); took > most {
			t.Errorf("%s came after %v, want at most %v", step.event, took, most)
		}
	}
	for i, accepted := range connects {
		if n := accepted.Load(); n != 1 {
			t.Errorf("%d connects to mute%d, want the one that still goes on", n, i)
		}
	}
	w.stop()
}

// The script records its event, then hangs with a child, both deaf to SIGTERM.
const hanging = `%s || exit 1
[ "$PLUSMOIN_CLUSTER_ID" = 0 ] || exit 0
trap '' TERM
sleep 600 &
echo $! $$ >>%s
wait
sleep 600`

func TestHangingTriggerStopsNeitherRoundsNorOtherClusters(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := pglab.New(t)
	a, b := cast(t, lab, "am", "a1"), cast(t, lab, "bm", "b1")
	w := newWatch(t, conf{"trigger_timeout": 4}, nodesOf(a[0], a[1], b[0], b[1])...)
	pids := filepath.Join(w.dir, "pids")
	triggers := story.Recorder(w.EventsFile)
	triggers["slave_down"] = fmt.Sprintf(hanging, strings.Join(story.Appender(w.EventsFile), " "), pids)
	w.configure(conf{"triggers": triggers}, nodesOf(a[0], a[1], b[0], b[1])...)
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")

	must(t, a[1].Kill(ctx))
	w.Expect("slave_down 0 a1")
	hung := time.Now()
	var family []int
	if !w.Poll(func() bool { family = numbersIn(pids); return len(family) == 2 }) {
		t.Fatalf("processes of the trigger: %v", family)
	}
	must(t, b[1].Kill(ctx))
	w.Expect("slave_down 1 b1")
	w.Quiet(2)
	must(t, a[1].Start(ctx))
	w.Until("a1 in sync", func(d status.Document) bool { return w.Picture(d) == "0: am > a1; 1: bm > (b1)" })
	w.Expect()
	if n := living(family); n != 2 {
		t.Fatalf("%d processes of the trigger live %v after it began; the rounds have proved nothing", n, time.Since(hung))
	}
	// What waits for it is told, and none of it is left by then.
	w.Expect("slave_up 0 a1")
	if n := living(family); n != 0 {
		t.Errorf("%d processes of the trigger live after its timeout and the grace", n)
	}
	if took := time.Since(hung); took > 4*time.Second+5*time.Second+4*time.Second {
		t.Errorf("the hanging trigger was in the way for %v", took)
	}
	must(t, b[1].Start(ctx))
	w.Expect("slave_up 1 b1")
	w.stop()
}

// numbersIn returns the numbers in a file, none if it is not there.
func numbersIn(path string) []int {
	text, _ := os.ReadFile(path)
	var numbers []int
	for _, word := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(word); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// living counts the processes that are there and no zombies.
func living(pids []int) int {
	n := 0
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			n++
		}
	}
	return n
}

// A server that cannot be watched has its reason in status.json, and all that
// is beside it goes on.
func TestEveryUnusableNodeHasAReasonAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := pglab.New(t)
	healthy := cast(t, lab, "m", "s1")
	const table = `CREATE TABLE heartbeat(cluster_id INT, master TEXT, tstamp BIGINT); ALTER TABLE heartbeat OWNER TO plusmoin;`
	cases := []struct {
		name, spoil string
		reason      cluster.Reason
	}{
		{"empty", table, ""},
		{"nulls", table + `INSERT INTO heartbeat VALUES (NULL, NULL, NULL)`, cluster.ReasonMisconfigured},
		{"ten", table + `INSERT INTO heartbeat SELECT -1, '-', 0 FROM generate_series(1, 10)`, cluster.ReasonMisconfigured},
		{"password", `ALTER ROLE plusmoin PASSWORD 'another'`, cluster.ReasonAuth},
		{"role", `ALTER ROLE plusmoin RENAME TO another`, cluster.ReasonAuth},
		{"database", "\\connect postgres\nALTER DATABASE plusmoin RENAME TO another", cluster.ReasonMisconfigured},
	}
	nodes := nodesOf(healthy...)
	spoilt := map[string]*pglab.Server{}
	for _, c := range cases {
		s, err := lab.Master(ctx, c.name)
		must(t, err)
		query(t, s, c.spoil)
		spoilt[c.name], nodes = s, append(nodes, nodesOf(s)...)
	}
	closes, _ := impostor(t, "closes", func(net.Conn) {})
	garbage, _ := impostor(t, "garbage", func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		mute(c)
	})
	w := newWatch(t, nil, append(nodes, closes, garbage)...)
	w.start()
	w.Expect("plusmoin_up 0", "plusmoin_up 1")
	w.Shows("0: m > s1; 1: empty >; -: nulls ten password role database closes garbage")
	for _, c := range cases {
		w.UntilReason(c.name, c.reason)
	}
	w.UntilReason("closes", cluster.ReasonDisconnected)
	w.UntilReason("garbage", cluster.ReasonBadAnswer)
	for _, name := range []string{"nulls", "ten", "password", "role", "database", "closes", "garbage"} {
		if text := w.Detail(name).Error; text == nil || *text == "" {
			t.Errorf("no text beside the reason of %s", name)
		}
	}
	w.Quiet(4)

	must(t, healthy[1].Stop(ctx))
	w.Expect("slave_down 0 s1")
	must(t, healthy[1].Start(ctx))
	w.Expect("slave_up 0 s1")

	// What was wrong can be mended one by one.
	query(t, spoilt["nulls"], `UPDATE heartbeat SET cluster_id = -1, master = '-', tstamp = 0`)
	w.Expect("cluster_up 2 nulls")
	query(t, spoilt["ten"], `DELETE FROM heartbeat WHERE ctid <> (SELECT min(ctid) FROM heartbeat)`)
	w.Expect("cluster_up 3 ten")
	query(t, spoilt["password"], `ALTER ROLE plusmoin PASSWORD '`+pglab.Password+`'`)
	w.Expect("cluster_up 4 password")
	w.Until("six clusters' worth of order", func(d status.Document) bool {
		return w.Picture(d) == "0: m > s1; 1: empty >; 2: nulls >; 3: ten >; 4: password >; -: role database closes garbage"
	})
	w.stop()
}
