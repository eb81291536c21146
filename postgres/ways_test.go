package postgres

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

func TestClientCertificate(t *testing.T) {
	lab := pglab.New(t)
	ours, err := lab.Authority("ours")
	must(t, err)
	other, err := lab.Authority("other")
	must(t, err)
	server, err := lab.Master(t.Context(), "m", pglab.TLS(ours), pglab.HBA("hostssl all all 127.0.0.1/32 cert"))
	must(t, err)
	for _, c := range []struct {
		name string
		by   *pglab.Authority
		user string
		want cluster.Reason
	}{
		{"of the role", ours, pglab.User, ""},
		{"of another role", ours, "somebody", cluster.ReasonAuth},
		{"of another authority", other, pglab.User, cluster.ReasonAuth}, // not sent: the server names those it trusts
		{"none", nil, "", cluster.ReasonAuth},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := openFleet(t, with(func(s *Settings) {
				s.Password, s.PassFile = "", "/nonexistent"
				s.SSLMode, s.SSLRootCert = "verify-full", ours.File()
				if c.by != nil {
					s.SSLCert, s.SSLKey, err = c.by.Client(c.user)
					must(t, err)
				}
			}))
			seen := lookUntil(t, f, nodeOf(server), func(s cluster.Sighting) bool { return s.Outcome != cluster.Connecting })
			if seen.Reason != c.want || answered(seen) != (c.want == "") {
				t.Errorf("%+v", seen)
			}
		})
	}
}

func TestIPv6(t *testing.T) {
	lab := pglab.New(t, pglab.Conf("listen_addresses", "127.0.0.1,::1"), pglab.HBA("host all all ::1/128 scram-sha-256"))
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := cluster.Node{Host: "::1", Port: server.Port()}
	f := openFleet(t, labSettings())
	if seen := lookUntil(t, f, n, answered); seen.Facts.ServerAddr != "::1" || seen.Facts.ServerPort != n.Port {
		t.Errorf("%+v", seen.Facts)
	}
	confirmed(t, sendBeat(t, f, beatOf(1, n, 1_000_000)))
	if row := lookAt(t, f, n).Row; row == nil || row.Master != n.String() || !strings.HasPrefix(row.Master, "[::1]:") {
		t.Errorf("%+v", row)
	}
	must(t, server.SetHBA(t.Context(), "host all nobody ::1/128 trust"))
	in := inspectOne(t, labSettings(), n)
	if got := in.Findings[0].Remedies[0].Lines[0]; got != "host    plusmoin    plusmoin    ::1/128    scram-sha-256" {
		t.Errorf("%q", got)
	}
}

// A lock on the table reaches the slave with the replay: its role is told no
// more than its row, and it answers again when the lock goes.
func TestLockOnSlave(t *testing.T) {
	lab := pglab.New(t)
	servers, err := lab.Cluster(t.Context(), "m", "s")
	must(t, err)
	m, s := nodeOf(servers[0]), nodeOf(servers[1])
	f := openFleet(t, with(quick))
	nodes := []cluster.Node{m, s}
	until(t, func() bool { return answered(f.Look(t.Context(), nodes, nil)[m]) }, func() {})
	confirmed(t, sendBeat(t, f, beatOf(1, m, 1)))
	until(t, func() bool { return f.Look(t.Context(), nodes, nil)[s].Row != nil }, func() {})

	ctx, cancel := context.WithCancel(t.Context())
	locked := make(chan struct{})
	go func() {
		defer close(locked)
		// What writes WAL after the lock makes the slave see it.
		_, _ = servers[0].SQL(ctx, "BEGIN; LOCK TABLE heartbeat IN ACCESS EXCLUSIVE MODE; SELECT pg_switch_wal(), pg_sleep(60)") // ended below
	}()
	until(t, func() bool { return because(cluster.ReasonUnwritable)(f.Look(t.Context(), nodes, nil)[s]) }, func() {})
	sql(t, servers[0], "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()")
	<-locked
	cancel()
	until(t, func() bool {
		seen := f.Look(t.Context(), nodes, nil)
		return answered(seen[m]) && answered(seen[s]) && seen[s].Row != nil
	}, func() {})
}

// A beat ends in time and is never taken for confirmed, whatever answers it.
func TestBeatsAgainstHostileServers(t *testing.T) {
	at := func(do func(net.Conn)) func(net.Conn) {
		return speaker{func(conn net.Conn, sql string) bool {
			if !strings.HasPrefix(sql, "UPDATE") {
				return true
			}
			do(conn)
			return false
		}}.serve
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  cluster.BeatVerdict
	}{
		"silent":          {at(silence), cluster.Unknown},
		"closes":          {at(func(net.Conn) {}), cluster.Unknown},
		"nonsense":        {at(func(conn net.Conn) { conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); silence(conn) }), cluster.Unknown},
		"half a message":  {at(func(conn net.Conn) { conn.Write([]byte{'C', 0, 0, 0, 13, 'U', 'P'}); silence(conn) }), cluster.Unknown},
		"no end of bytes": {at(flood), cluster.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			n := fakeServer(t, c.serve)
			f := openFleet(t, with(quick))
			lookUntil(t, f, n, answered)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			sent := sendBeat(t, f, beatOf(1, n, 1))
			runtime.ReadMemStats(&after)
			if took := time.Since(began); took > 900*time.Millisecond || sent.Verdict != c.want || sent.Reason == "" {
				t.Errorf("after %v: %+v", took, sent)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 50<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// Many nodes that come to be connected to at once are, but never more at a time
// than there are slots, and slow ones hold up the others only for a moment.
func TestConnectsAtOnce(t *testing.T) {
	var now, most atomic.Int32
	enough := make(chan struct{})
	serve := func(conn net.Conn) {
		count := now.Add(1)
		for {
			seen := most.Load()
			if count <= seen || most.CompareAndSwap(seen, count) {
				break
			}
		}
		<-enough
		now.Add(-1)
		speaker{}.serve(conn)
	}
	var nodes []cluster.Node
	for range connectsAtOnce + 20 {
		nodes = append(nodes, fakeServer(t, serve))
	}
	f := openFleet(t, labSettings())
	first := make(chan map[cluster.Node]cluster.Sighting)
	go func() { first <- f.Look(t.Context(), nodes, nil) }()
	until(t, func() bool { return now.Load() == connectsAtOnce }, func() { t.Log(now.Load()) })
	if n := most.Load(); n != connectsAtOnce {
		t.Errorf("%d connects at once", n)
	}
	// Slots are given back after a while though the servers keep silent.
	until(t, func() bool { return now.Load() == int32(len(nodes)) }, func() { t.Log(now.Load()) })
	close(enough)
	<-first
	until(t, func() bool {
		for _, seen := range f.Look(t.Context(), nodes, nil) {
			if !answered(seen) {
				return false
			}
		}
		return true
	}, func() { t.Log(fmt.Sprint(now.Load(), " still connect")) })
}
