package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plusmoin/internal/pglab"
)

// BenchmarkCost measures a minute of watching a master and two slaves at a
// heartbeat of a second: the processor time of plusmoin and of the servers and
// the connections it makes. A bare loop does the same on servers of its own in
// the same minute, and servers that nobody watches show what idling costs.
func BenchmarkCost(b *testing.B) {
	measureCost(b, time.Second, options{"heartbeat": 1})
}

// BenchmarkCostShort is BenchmarkCost at a heartbeat of a tenth of a second. The
// bare loop asks in every round for all that plusmoin ever asks for. The status
// file is where it is by default, in memory.
func BenchmarkCostShort(b *testing.B) {
	measureCost(b, short, options{
		"heartbeat": short.Seconds(), "query_timeout": short.Seconds(),
		"status_file": filepath.Join(memoryDir(b), "status.json"),
	})
	b.ReportMetric(500, "plusmoin-limit-ms")
	b.ReportMetric(1200, "servers-limit-ms")
}

// short is a heartbeat for those who want to know at once.
const short = 100 * time.Millisecond

// memoryDir returns a directory in memory, as /var/run is, or another if there is
// none.
func memoryDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "plusmoin-bench-")
	if err != nil {
		b.Log("the status file is on disk: ", err)
		return b.TempDir()
	}
	b.Cleanup(func() { must(b, os.RemoveAll(dir)) })
	return dir
}

func measureCost(b *testing.B, heartbeat time.Duration, keys options) {
	b.Helper()
	const window = time.Minute
	idle, floored := trio(b), trio(b)
	watched := trio(b, pglab.Conf("log_connections", "on"))
	prime(b, nodeOf(floored[0]))
	floor := bare(b, nodesOf(floored), 0)
	p := watch(b, nodesOf(watched), keys)
	p.settled(time.Minute)

	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	floorFor := func(span time.Duration) {
		for range int(span / heartbeat) {
			<-beat.C
			floor.round()
		}
	}
	floorFor(5 * time.Second)
	load(b, "before")
	tally := func() bill {
		return bill{p.cpu(), floor.cpu(), family(b, watched), family(b, floored), family(b, idle), connections(watched)}
	}
	before := tally()
	floorFor(window)
	after := tally()
	load(b, "after")
	after.less(before).report(b)
}

// bill is what was used so far.
type bill struct {
	plusmoin, bare          time.Duration
	watched, floored, unled times // of the servers
	connections             int
}

// times are the processor times of processes by id.
type times map[int]time.Duration

func (t times) sum() (sum time.Duration) {
	for _, d := range t {
		sum += d
	}
	return sum
}

// less is what was used since before, by processes that are still there.
func (t times) less(before times) times {
	used := times{}
	for pid, d := range t {
		used[pid] = d - before[pid]
	}
	return used
}

func (l bill) less(before bill) bill {
	return bill{
		l.plusmoin - before.plusmoin, l.bare - before.bare, l.watched.less(before.watched),
		l.floored.less(before.floored), l.unled.less(before.unled), l.connections - before.connections,
	}
}

func (l bill) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(millis(l.plusmoin), "plusmoin-cpu-ms")
	b.ReportMetric(millis(l.bare), "bare-cpu-ms")
	b.ReportMetric(float64(l.plusmoin)/float64(l.bare), "ratio")
	b.ReportMetric(millis(l.watched.sum()), "servers-cpu-ms")
	b.ReportMetric(millis(l.floored.sum()), "bare-servers-cpu-ms")
	b.ReportMetric(millis(l.unled.sum()), "idle-servers-cpu-ms")
	b.ReportMetric(float64(l.connections), "new-connections")
}

// connections counts the sessions that plusmoin has begun on servers which log
// that.
func connections(servers []*pglab.Server) int {
	n := 0
	for _, s := range servers {
		for line := range strings.Lines(s.Log()) {
			if strings.Contains(line, "connection authorized") && strings.Contains(line, "application_name=plusmoin") {
				n++
			}
		}
	}
	return n
}

// family returns the times of the servers' processes.
func family(b *testing.B, servers []*pglab.Server) times {
	b.Helper()
	used := times{}
	for _, s := range servers {
		for _, pid := range withChildren(b, postmaster(b, s)) {
			if d, err := cpuOf(pid); err == nil { // else it has just ended
				used[pid] = d
			}
		}
	}
	return used
}

func withChildren(b *testing.B, pid int) []int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	must(b, err)
	pids := []int{pid}
	for word := range strings.FieldsSeq(string(text)) {
		var child int
		_, err := fmt.Sscan(word, &child)
		must(b, err)
		pids = append(pids, child)
	}
	return pids
}
