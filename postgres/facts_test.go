package postgres

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
)

// informant is a server whose facts are counted, and its answers to the role can
// be changed.
type informant struct {
	node  cluster.Node
	facts atomic.Int32
	mute  atomic.Bool
	role  atomic.Value
}

func newInformant(t *testing.T) *informant {
	t.Helper()
	i := &informant{}
	i.role.Store("t")
	before := func(conn net.Conn, sql string) bool {
		if sql == factsSQL(15) {
			i.facts.Add(1)
		}
		if i.mute.Load() {
			silence(conn)
			return false
		}
		return true
	}
	i.node = fakeServer(t, func(conn net.Conn) { speaker{before}.serveRows(conn, i.answer) })
	return i
}

func (i *informant) answer(sql string) [][]byte {
	switch sql {
	case "SELECT pg_is_in_recovery()":
		return [][]byte{[]byte(i.role.Load().(string))}
	case factsSQL(15):
		position := []byte("0/" + strconv.Itoa(int(i.facts.Load())))
		row := make([][]byte, 13)
		row[0], row[2], row[3] = []byte("t"), position, position
		return row
	}
	return healthy(sql)
}

// Facts that were asked for a moment ago are told again, but not when something
// happened since.
func TestFactsAreKept(t *testing.T) {
	t.Parallel()
	a, b := newInformant(t), newInformant(t)
	nodes := []cluster.Node{a.node, b.node}
	f := openFleet(t, with(quick))
	look := func(urgent func(cluster.Node) bool) map[cluster.Node]cluster.Sighting {
		return f.Look(t.Context(), nodes, urgent)
	}
	until(t, func() bool { s := look(nil); return answered(s[a.node]) && answered(s[b.node]) }, func() {})
	asked := a.facts.Load()

	f.factsAt = time.Now()
	for range 3 {
		seen := look(patient)[a.node]
		if !seen.FactsKept || seen.Facts.LSN != cluster.LSN(asked) || !answered(seen) {
			t.Fatalf("%+v", seen)
		}
	}
	if got := a.facts.Load(); got != asked {
		t.Fatalf("asked for %d times more", got-asked)
	}
	next := func(what string, seen cluster.Sighting) {
		t.Helper()
		if asked++; seen.FactsKept || seen.Facts.LSN != cluster.LSN(asked) || a.facts.Load() != asked {
			t.Errorf("%s: asked %d times: %+v", what, a.facts.Load(), seen)
		}
		f.factsAt = time.Now() // on a busy machine a look takes long
	}
	next("another node is urgent", look(func(n cluster.Node) bool { return n == b.node })[a.node])

	a.role.Store("f")
	seen := look(patient)[a.node]
	next("it was promoted", seen)
	if seen.Slave {
		t.Errorf("%+v", seen)
	}
	f.factsAt = time.Now().Add(-factsAge)
	next("they are old", look(patient)[a.node])

	b.mute.Store(true)
	all := look(patient)
	next("another node has just failed", all[a.node])
	if answered(all[b.node]) {
		t.Errorf("%+v", all[b.node])
	}
	if seen := look(patient)[a.node]; !seen.FactsKept {
		t.Errorf("one that goes on failing: %+v", seen)
	}

	loop := f.targets[a.node].connLoop
	loop.post(func() { loop.drop() })
	until(t, func() bool { return answered(look(patient)[a.node]) }, func() {})
	if a.facts.Load() <= asked {
		t.Error("facts of the last session are told as those of the next")
	}
}
