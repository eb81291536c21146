package fleet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"plusmoin/cluster"
	"plusmoin/internal/fleet"
	"plusmoin/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a fake fleet and a real client of it.
type lab struct {
	*testing.T
	fake   *fleet.Fleet
	client *postgres.Fleet
	nodes  []cluster.Node
}

func newLab(t *testing.T, o fleet.Options) *lab {
	t.Helper()
	fake, err := fleet.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fake.Close() })
	client, err := postgres.Open(postgres.Settings{
		DBName: "plusmoin", User: "plusmoin", IsSlaveStatement: "SELECT pg_is_in_recovery()",
		ConnectTimeout: time.Second, QueryTimeout: 500 * time.Millisecond,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	l := &lab{T: t, fake: fake, client: client}
	for i := range fake.Len() {
		host, port := fake.Address(i)
		l.nodes = append(l.nodes, cluster.Node{Host: host, Port: port})
	}
	return l
}

func (l *lab) do(command string) string {
	l.Helper()
	answer, err := l.fake.Do(command)
	if err != nil {
		l.Fatal(err)
	}
	return answer
}

func (l *lab) look(i int) cluster.Sighting {
	return l.client.Look(l.Context(), l.nodes, nil)[l.nodes[i]]
}

// await looks until node i is as it should be.
func (l *lab) await(i int, what string, good func(cluster.Sighting) bool) cluster.Sighting {
	l.Helper()
	var seen cluster.Sighting
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if seen = l.look(i); good(seen) {
			return seen
		}
		<-time.After(5 * time.Millisecond)
	}
	l.Fatalf("node %d is not %s: %+v", i, what, seen)
	return seen
}

func (l *lab) beat(i, id int, stamp cluster.Stamp) cluster.BeatOutcome {
	n := l.nodes[i]
	row := cluster.Row{Cluster: id, Master: n.String(), Stamp: stamp}
	return l.client.Beat(l.Context(), []cluster.Beat{{Node: n, Row: row}})[n]
}

func answered(s cluster.Sighting) bool { return s.Outcome == cluster.Answered }

func because(r cluster.Reason) func(cluster.Sighting) bool {
	return func(s cluster.Sighting) bool { return !answered(s) && s.Reason == r }
}

func stamped(stamp cluster.Stamp) func(cluster.Sighting) bool {
	return func(s cluster.Sighting) bool { return answered(s) && s.Row != nil && s.Row.Stamp == stamp }
}

// TestCluster shows that the fleet answers all that package postgres asks.
func TestCluster(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 3, Slaves: 2})
	for i := range l.nodes {
		s := l.await(i, "answering", answered)
		f := s.Facts
		if s.Slave != (i > 0) || f.LSN == 0 || f.SystemID == 0 || f.ServerVersion != 150018 || f.Started == 0 {
			t.Errorf("node %d: %+v", i, s)
		}
		if s.Row == nil || s.Row.Cluster != cluster.NoCluster {
			t.Errorf("node %d has the row %+v before any beat", i, s.Row)
		}
		if i > 0 && f.Receiver.Upstream != l.nodes[0].String() {
			t.Errorf("node %d follows %q", i, f.Receiver.Upstream)
		}
	}
	if o := l.beat(0, 7, 1_000_005); o.Verdict != cluster.Confirmed {
		t.Fatalf("beat on the master: %+v", o)
	}
	for i := range l.nodes {
		if s := l.look(i); !stamped(1_000_005)(s) || s.Row.Cluster != 7 || s.Row.Master != l.nodes[0].String() {
			t.Errorf("node %d shows %+v", i, s.Row)
		}
	}
	if o := l.beat(1, 7, 2_000_000); o.Verdict != cluster.Refused || o.Reason != cluster.ReasonUnwritable {
		t.Errorf("beat on a slave: %+v", o)
	}
	// What was refused is asked for again on a new connection, beside which the old
	// one may be there for a moment.
	const want = "3 nodes 3 connections"
	got := l.do("count *")
	for began := time.Now(); got != want && time.Since(began) < 5*time.Second; got = l.do("count *") {
		runtime.Gosched()
	}
	if got != want {
		t.Errorf("count says %q, want %q", got, want)
	}
}

// TestPing shows that a client's library may ask whether it is answered.
func TestPing(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 1})
	conn, err := pgconn.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=plusmoin sslmode=disable", l.nodes[0].Host, l.nodes[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPromote(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 3, Slaves: 2})
	before := l.await(1, "a slave", func(s cluster.Sighting) bool { return answered(s) && s.Slave })
	l.do("promote 0.1")
	after := l.await(1, "a master", func(s cluster.Sighting) bool { return answered(s) && !s.Slave })
	if after.Facts.Timeline != before.Facts.Timeline+1 {
		t.Errorf("timeline went from %d to %d", before.Facts.Timeline, after.Facts.Timeline)
	}
	l.do("follow 0.0 0.1")
	l.await(0, "a slave", func(s cluster.Sighting) bool { return answered(s) && s.Slave })
	if o := l.beat(1, 0, 3_000_000); o.Verdict != cluster.Confirmed {
		t.Fatalf("beat on the new master: %+v", o)
	}
	l.await(0, "replicating", stamped(3_000_000))
	l.await(2, "replicating from its old master, now a slave", stamped(3_000_000))
}

func TestLag(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 2, Slaves: 1})
	l.await(0, "answering", answered)
	l.do("lag 0.1 1h")
	if o := l.beat(0, 0, 4_000_000); o.Verdict != cluster.Confirmed {
		t.Fatalf("beat: %+v", o)
	}
	if s := l.look(1); stamped(4_000_000)(s) {
		t.Fatal("the slave shows the beat at once")
	}
	l.do("lag 0.1 0s")
	l.await(1, "replicating", stamped(4_000_000))
}

// TestAway shows that nothing passes through a slave that is away, that one
// which merely lags hands beats on, and that both catch up.
func TestAway(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 3, Slaves: 2})
	l.await(0, "answering", answered)
	l.do("follow 0.2 0.1")
	for i, away := range []string{"down 0.1", "hang 0.1"} {
		stamp := cluster.Stamp(i+1) * 1_000_000
		l.do(away)
		if o := l.beat(0, 0, stamp); o.Verdict != cluster.Confirmed {
			t.Fatalf("beat: %+v", o)
		}
		if s := l.look(2); stamped(stamp)(s) {
			t.Errorf("%s: the beat comes through", away)
		}
		l.do("thaw 0.1")
		l.await(1, "has caught up", stamped(stamp))
		l.await(2, "has caught up", stamped(stamp))
	}
	l.do("lag 0.1 1h")
	if o := l.beat(0, 0, 9_000_000); o.Verdict != cluster.Confirmed {
		t.Fatalf("beat: %+v", o)
	}
	l.await(2, "replicating", stamped(9_000_000))
	if s := l.look(1); stamped(9_000_000)(s) {
		t.Error("the slave that lags shows the beat at once")
	}
}

// TestStranger shows that a slave cannot follow what became a copy of another
// system.
func TestStranger(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 4, Slaves: 1})
	l.await(2, "answering", answered)
	l.do("follow 0.0 1.0")
	if o := l.beat(2, 0, 5_000_000); o.Verdict != cluster.Confirmed {
		t.Fatalf("beat: %+v", o)
	}
	l.await(0, "replicating", stamped(5_000_000))
	s := l.await(1, "answering", answered)
	if stamped(5_000_000)(s) || s.Facts.Receiver.Upstream != "" {
		t.Errorf("it follows another system: %+v", s)
	}
	l.do("follow 0.1 0.0")
	l.await(1, "replicating", stamped(5_000_000))
}

func TestSeal(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 1})
	l.await(0, "answering", answered)
	l.do("row 0 4 m:1 5 6")
	l.do("seal 0")
	if o := l.beat(0, 7, 8_000_000); o.Verdict != cluster.Refused || o.Reason != cluster.ReasonUnwritable {
		t.Errorf("beat on a read-only server: %+v", o)
	}
	if got, want := l.do("show 0"), "4 m:1 5 6"; got != want {
		t.Errorf("its row is %q, want %q", got, want)
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		command string
		want    cluster.Reason
	}{
		{"hang 0.1", cluster.ReasonTimeout},
		{"slow 0.1 10s", cluster.ReasonTimeout},
		{"down 0.1", cluster.ReasonDisconnected},
		{"garbage 0.1", cluster.ReasonBadAnswer},
		{"big 0.1 104857600", cluster.ReasonBadAnswer},
	} {
		t.Run(strings.Fields(tt.command)[0], func(t *testing.T) {
			l := newLab(t, fleet.Options{Nodes: 2, Slaves: 1})
			l.await(1, "answering", answered)
			l.do(tt.command)
			l.await(1, string(tt.want), because(tt.want))
			if s := l.look(0); !answered(s) {
				t.Errorf("the other node suffers too: %+v", s)
			}
			l.do("thaw *")
			l.await(1, "healthy again", answered)
		})
	}
}

func TestRefuse(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 1})
	l.do("refuse * 57P03")
	l.await(0, "starting up", because(cluster.ReasonStartingUp))
	l.do("thaw *")
	l.await(0, "answering", answered)
}

// TestThawAnswersWhatWaits shows that a node that hung is as one that was
// stopped: it goes on where it was.
func TestThawAnswersWhatWaits(t *testing.T) {
	l := newLab(t, fleet.Options{Nodes: 1})
	l.do("hang *")
	host, port := l.fake.Address(0)
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(host), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request for TLS is the shortest there is with an answer.
	request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 80877103)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var answer [1]byte
	if _, err := conn.Read(answer[:]); err == nil {
		t.Fatal("a hanging node answers")
	}
	l.do("thaw *")
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(conn, answer[:]); err != nil || !bytes.Equal(answer[:], []byte("N")) {
		t.Fatalf("after the thaw: %q, %v", answer, err)
	}
}

func TestCommands(t *testing.T) {
	f, err := fleet.Open(fleet.Options{Nodes: 8, Slaves: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct{ command, want string }{
		{"hang *", "8"}, {"hang 0", "3"}, {"hang 2", "2"}, {"hang 0-1", "6"}, {"hang *.0", "3"},
		{"hang *.1-2", "5"}, {"hang 2.2", "0"}, {"thaw *", "8"}, {"row 1.0 4 m:1 5 6", "1"},
	} {
		if got, err := f.Do(tt.command); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.command, got, err, tt.want)
		}
	}
	for _, command := range []string{
		"", "hang", "hang 3", "hang 0.3", "hang 1-0", "hang x", "stroll *", "slow *", "slow * -1s",
		"lag * soon", "big * much", "row * 1", "row * x m 1 1", "follow 0.1 *", "follow 0.0 0.1", "follow 0.1 0.1",
		"show *", "seal * now",
	} {
		if got, err := f.Do(command); err == nil {
			t.Errorf("%q is accepted: %s", command, got)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []fleet.Options{{}, {Nodes: fleet.MaxNodes + 1}, {Nodes: 1, Slaves: -1}} {
		if f, err := fleet.Open(o); err == nil {
			f.Close()
			t.Errorf("%+v is accepted", o)
		}
	}
}
