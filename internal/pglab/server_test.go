package pglab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dial connects to the port and says whether it is open.
func dial(s *Server, host string) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", host, s.Port()), time.Second)
	if err == nil {
		err = conn.Close()
	}
	return err
}

func TestFailover(t *testing.T) {
	ctx := t.Context()
	servers := cluster(t, "m", "s1", "s2")
	m, s1, s2 := servers[0], servers[1], servers[2]
	ask(t, m, "CREATE TABLE t (word text)")
	must(t, s1.CatchUp(ctx))
	must(t, s1.Stop(ctx))
	ask(t, m, "INSERT INTO t VALUES ('lost')")
	must(t, s2.CatchUp(ctx))

	pids, err := descendants(m.process().pid)
	must(t, err)
	must(t, m.Kill(ctx))
	if left := alive(t, pids); m.Running() || len(left) > 0 || len(pids) < 5 {
		t.Fatalf("killed, running %v, %d of %d children left", m.Running(), len(left), len(pids))
	}
	if err := dial(m, m.Host()); err == nil {
		t.Fatal("a killed server answers")
	}
	locks, err := filepath.Glob(filepath.Join(m.SocketDir(), fmt.Sprintf(".s.PGSQL.%d.*", m.Port())))
	must(t, err)
	if _, err := os.Stat(m.pidFile()); len(locks) > 0 || !os.IsNotExist(err) {
		t.Fatalf("a killed server left %q and its pid file (%v); whoever gets its number keeps it from starting", locks, err)
	}

	must(t, s1.Start(ctx))
	must(t, s1.Promote(ctx))
	ask(t, s1, "INSERT INTO t VALUES ('won')")
	want(t, s1, "TABLE t", "won")

	// Both others have what the new master lacks. Without a rewind they stay behind.
	must(t, m.Follow(ctx, s1))
	want(t, m, "SELECT pg_is_in_recovery()", "t")
	eventually(t, "the former master says that it diverged", func() bool {
		return strings.Contains(m.Log(), "is not a child of") || strings.Contains(m.Log(), "forked off")
	})
	want(t, m, "TABLE t", "lost")

	must(t, m.Rewind(ctx, s1))
	must(t, s2.Rebuild(ctx, s1))
	for _, s := range []*Server{m, s2} {
		must(t, s.CatchUp(ctx))
		want(t, s, "TABLE t", "won")
	}
}

func TestFollowWhileRunning(t *testing.T) {
	ctx := t.Context()
	servers := cluster(t, "m", "s1", "s2")
	m, s1, s2 := servers[0], servers[1], servers[2]
	must(t, s2.Follow(ctx, s1))
	must(t, s2.awaitStreaming(ctx, s1))
	want(t, m, "SELECT application_name FROM pg_stat_replication", "s1")

	// A switchover: nothing is lost, so the old master can follow as it is.
	must(t, s1.CatchUp(ctx))
	must(t, m.Stop(ctx))
	must(t, s1.Promote(ctx))
	must(t, m.Follow(ctx, s1))
	ask(t, s1, "CREATE TABLE t AS SELECT 7 AS a")
	for _, s := range []*Server{m, s2} {
		must(t, s.CatchUp(ctx))
		want(t, s, "TABLE t", "7")
	}

	// A running master becomes a slave.
	other, err := m.lab.Master(ctx, "other")
	must(t, err)
	must(t, other.Follow(ctx, s1))
	want(t, other, "SELECT pg_is_in_recovery()", "t")
	if err := s1.CatchUp(ctx); err == nil {
		t.Error("a master catches up")
	}
}

func TestFreeze(t *testing.T) {
	ctx := t.Context()
	m := cluster(t, "m")[0]
	must(t, m.Freeze())
	if err := dial(m, m.Host()); err != nil {
		t.Errorf("a frozen server accepts no connection: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := m.SQL(short, "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server: %v, want a deadline", err)
	}
	if !m.Running() {
		t.Error("a frozen server counts as ended")
	}
	must(t, m.Thaw())
	must(t, m.Thaw())
	want(t, m, "SELECT 1", "1")

	must(t, m.Freeze())
	must(t, m.Restart(ctx))
	want(t, m, "SELECT 1", "1")
	must(t, m.Freeze())
	must(t, m.Kill(ctx))
	if err := m.Freeze(); err == nil {
		t.Error("a killed server freezes")
	}
	must(t, m.Kill(ctx))
	must(t, m.Stop(ctx))
	must(t, m.Start(ctx))
	if err := m.Start(ctx); err == nil {
		t.Error("a running server starts")
	}
}

// A test may kill a postmaster by itself; its frozen children must still end.
func TestFrozenOrphans(t *testing.T) {
	m := cluster(t, "m")[0]
	pids, err := descendants(m.process().pid)
	must(t, err)
	must(t, m.Freeze())
	postmaster, err := os.FindProcess(m.process().pid)
	must(t, err)
	must(t, postmaster.Kill())
	eventually(t, "the postmaster has ended", func() bool { return !m.Running() })
	if left := alive(t, pids); len(left) == 0 {
		t.Fatal("the frozen children have ended by themselves: nothing to test")
	}
	must(t, m.lab.Close())
	if left := alive(t, pids); len(left) > 0 {
		t.Errorf("children left: %v", left)
	}
}

func TestPauseReplay(t *testing.T) {
	ctx := t.Context()
	servers := cluster(t, "m", "s")
	m, s := servers[0], servers[1]
	ask(t, m, "CREATE TABLE t (a int)")
	must(t, s.CatchUp(ctx))
	must(t, s.PauseReplay(ctx))
	ask(t, m, "INSERT INTO t VALUES (1)")
	end := ask(t, m, "SELECT pg_current_wal_lsn()")
	eventually(t, "the slave has received", func() bool {
		return ask(t, s, "SELECT pg_last_wal_receive_lsn() >= '"+end+"'") == "t"
	})
	want(t, s, "SELECT count(*) FROM t", "0")
	must(t, s.ResumeReplay(ctx))
	must(t, s.CatchUp(ctx))
	want(t, s, "SELECT count(*) FROM t", "1")
}

func TestSlaveOfARunningServer(t *testing.T) {
	ctx := t.Context()
	lab := New(t)
	m, err := lab.Master(ctx, "m", Conf("max_connections", "150"))
	must(t, err)
	ask(t, m, "CREATE TABLE t AS SELECT 5 AS a")
	s, err := lab.Slave(ctx, "s", m)
	must(t, err)
	want(t, s, "TABLE t", "5")
	cascaded, err := lab.Slave(ctx, "cascaded", s, Conf("max_connections", "200"))
	must(t, err)
	must(t, cascaded.CatchUp(ctx))
	want(t, cascaded, "SHOW max_connections", "200")

	// One that answers no query streams all the same.
	mute, err := lab.Slave(ctx, "mute", m, Conf("hot_standby", "off"))
	must(t, err)
	if _, err := mute.SQL(ctx, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "not accepting connections") {
		t.Errorf("hot_standby off: %v", err)
	}
}
