package postgres

import (
	"log/slog"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// as the monitor would be configured for the servers of a lab.
func labSettings() Settings {
	return Settings{
		DBName: pglab.Database, User: pglab.User, Password: pglab.Password,
		SSLMode: "disable", IsSlaveStatement: "SELECT pg_is_in_recovery()",
		ConnectTimeout: 4 * time.Second, QueryTimeout: 2 * time.Second, ConnectionLifetime: time.Hour,
	}
}

func with(change func(*Settings)) Settings {
	s := labSettings()
	change(&s)
	return s
}

func openFleet(t testing.TB, s Settings) *Fleet {
	t.Helper()
	f, err := Open(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func nodeOf(s *pglab.Server) cluster.Node { return cluster.Node{Host: s.Host(), Port: s.Port()} }

// lookAt looks once at one node.
func lookAt(t testing.TB, f *Fleet, n cluster.Node) cluster.Sighting {
	t.Helper()
	return f.Look(t.Context(), []cluster.Node{n}, nil)[n]
}

// lookUntil looks until good holds.
func lookUntil(t testing.TB, f *Fleet, n cluster.Node, good func(cluster.Sighting) bool) cluster.Sighting {
	t.Helper()
	var seen cluster.Sighting
	until(t, func() bool {
		seen = lookAt(t, f, n)
		return good(seen)
	}, func() { t.Logf("last seen: %+v", seen) })
	return seen
}

// until polls good, at first often.
func until(t testing.TB, good func() bool, explain func()) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !good(); {
		if time.Now().After(deadline) {
			explain()
			t.Fatal("waited in vain")
		}
		<-time.After(5 * time.Millisecond)
	}
}

func answered(s cluster.Sighting) bool { return s.Outcome == cluster.Answered }

// because tells whether a node does not answer for that reason. Whether it is
// Failed or, for the same reason, Connecting is a matter of time.
func because(r cluster.Reason) func(cluster.Sighting) bool {
	return func(s cluster.Sighting) bool { return s.Outcome != cluster.Answered && s.Reason == r }
}

// dropped waits for the fleet to say that a connection dropped.
func dropped(t testing.TB, f *Fleet) {
	t.Helper()
	select {
	case <-f.Dropped():
	case <-time.After(20 * time.Second):
		t.Fatal("a dropped connection was not told")
	}
}

func beatOf(id int, n cluster.Node, stamp cluster.Stamp) cluster.Beat {
	return cluster.Beat{Node: n, Row: cluster.Row{Cluster: id, Master: n.String(), Stamp: stamp}}
}

func sendBeat(t testing.TB, f *Fleet, b cluster.Beat) cluster.BeatOutcome {
	t.Helper()
	return f.Beat(t.Context(), []cluster.Beat{b})[b.Node]
}

func confirmed(t testing.TB, o cluster.BeatOutcome) {
	t.Helper()
	if o.Verdict != cluster.Confirmed {
		t.Fatalf("beat: %+v", o)
	}
}

func sql(t testing.TB, s *pglab.Server, query string) string {
	t.Helper()
	out, err := s.SQL(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
