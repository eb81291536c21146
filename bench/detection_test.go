package bench

import (
	"bufio"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

const (
	kills   = 12
	freezes = 6
)

// told is a line that a trigger wrote, as its first deed.
type told struct {
	event string
	at    time.Time
}

// bell is a named pipe that triggers write their names to.
type bell struct {
	path  string
	rings chan told
}

func newBell(b *testing.B) bell {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bell")
	must(b, syscall.Mkfifo(path, 0o600))
	// Open for writing too, it never comes to an end while no trigger runs.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	must(b, err)
	rings := make(chan told, 100)
	go func() {
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			rings <- told{lines.Text(), time.Now()}
		}
	}()
	b.Cleanup(func() { pipe.Close() })
	return bell{path, rings}
}

func (l bell) triggers(events ...string) map[string]string {
	commands := map[string]string{}
	for _, e := range events {
		commands[e] = "echo " + e + " > " + l.path
	}
	return commands
}

// await returns when the trigger of an event ran.
func (l bell) await(b *testing.B, event string) time.Time {
	b.Helper()
	for timeout := time.After(time.Minute); ; {
		select {
		case t := <-l.rings:
			if t.event == event {
				return t.at
			}
		case <-timeout:
			b.Fatalf("%s does not come", event)
		}
	}
}

// BenchmarkKill measures from kill -9 of a master's postmaster to the
// master_down script, at any time of a heartbeat of a minute, and from the end
// of a promotion to the master_up script. The floor is what an idle session on
// the master sees.
func BenchmarkKill(b *testing.B) {
	servers := trio(b)
	bell := newBell(b)
	p := watch(b, nodesOf(servers), options{
		"heartbeat": 60, "fail_interval": 0, "triggers": bell.triggers("master_down", "master_up"),
	})
	p.settled(time.Minute)
	load(b, "before")
	var downs, floors, ups samples
	for range kills {
		master, heir, other := servers[0], servers[1], servers[2]
		closed := idleSession(b, master)
		<-time.After(rand.N(1500 * time.Millisecond))

		pid := postmaster(b, master)
		began := time.Now()
		must(b, syscall.Kill(pid, syscall.SIGKILL))
		downs = append(downs, bell.await(b, "master_down").Sub(began))
		floors = append(floors, (<-closed).Sub(began))

		must(b, master.Kill(b.Context())) // whatever the postmaster left behind
		<-time.After(rand.N(time.Second))
		must(b, heir.Promote(b.Context()))
		promoted := time.Now()
		ups = append(ups, max(0, bell.await(b, "master_up").Sub(promoted)))

		must(b, other.Follow(b.Context(), heir))
		must(b, master.Rebuild(b.Context(), heir))
		servers = []*pglab.Server{heir, other, master}
		p.whole(servers)
	}
	load(b, "after")
	downs.report(b, "down")
	floors.report(b, "floor")
	ups.report(b, "promoted-to-up")
}

// BenchmarkFreeze measures from the stop of a master and all its processes to
// the master_down script at a heartbeat of a second. The floor is what nobody
// can undercut who waits that long for an answer: the query timeout.
func BenchmarkFreeze(b *testing.B) {
	measureFreeze(b, time.Second)
	b.ReportMetric(1000, "timeout-ms")
	b.ReportMetric(2100, "bound-ms")
}

// BenchmarkFreezeShort is BenchmarkFreeze at a heartbeat of a tenth of a second.
func BenchmarkFreezeShort(b *testing.B) {
	measureFreeze(b, short)
	b.ReportMetric(100, "timeout-ms")
	b.ReportMetric(180, "median-bound-ms")
}

func measureFreeze(b *testing.B, heartbeat time.Duration) {
	b.Helper()
	servers := trio(b)
	bell := newBell(b)
	p := watch(b, nodesOf(servers), options{
		"heartbeat": heartbeat.Seconds(), "query_timeout": heartbeat.Seconds(),
		"fail_interval": 0, "triggers": bell.triggers("master_down", "master_up"),
	})
	p.settled(time.Minute)
	load(b, "before")
	var downs samples
	for range freezes {
		<-time.After(rand.N(time.Second))
		began := time.Now()
		must(b, servers[0].Freeze())
		downs = append(downs, bell.await(b, "master_down").Sub(began))
		must(b, servers[0].Thaw())
		bell.await(b, "master_up")
	}
	load(b, "after")
	downs.report(b, "down")
}

// trio starts a master and two slaves.
func trio(b *testing.B, settings ...pglab.Setting) []*pglab.Server {
	b.Helper()
	servers, err := pglab.New(b, settings...).Cluster(b.Context(), "a", "b", "c")
	must(b, err)
	return servers
}

// idleSession opens a session that does nothing and tells when it ended.
func idleSession(b *testing.B, s *pglab.Server) <-chan time.Time {
	b.Helper()
	conn, err := pgconn.Connect(b.Context(), "host="+s.Host()+" port="+strconv.Itoa(s.Port())+
		" dbname="+pglab.Database+" user="+pglab.User+" password="+pglab.Password+" sslmode=disable")
	must(b, err)
	closed := make(chan time.Time, 1)
	go func() {
		_ = conn.WaitForNotification(b.Context()) // there are none: it ends with the session
		closed <- time.Now()
	}()
	return closed
}

func postmaster(b *testing.B, s *pglab.Server) int {
	b.Helper()
	text, err := s.SQL(b.Context(), "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")
	must(b, err)
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	must(b, err)
	return pid
}

// whole waits until the first server is the master of the others. Rounds a
// minute apart would take long, so it makes plusmoin look by a reload.
func (p *plusmoin) whole(servers []*pglab.Server) {
	p.Helper()
	nudged := time.Now()
	until(p.B, time.Minute, "the cluster is not whole again", func() bool {
		if now := time.Now(); now.Sub(nudged) > 300*time.Millisecond {
			nudged = now
			must(p.B, p.cmd.Process.Signal(syscall.SIGHUP))
		}
		doc := p.status()
		return doc.Nodes[nodeOf(servers[0]).String()].State == cluster.Master &&
			census(doc)[cluster.Slave] == len(servers)-1
	})
}
