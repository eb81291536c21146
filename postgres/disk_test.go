//go:build linux

package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// A master whose disk is full: of data only, which beats cannot see, and of WAL,
// which ends the server.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		const loud = "NOT TESTED: only root can mount a small disk to fill (TestFullDisk)"
		t.Log(loud)
		fmt.Fprintln(os.Stderr, loud)
		return
	}
	t.Parallel()
	lab := pglab.New(t, pglab.Conf("max_wal_size", "1GB"), pglab.Conf("restart_after_crash", "off"))
	server, err := lab.Master(t.Context(), "m")
	must(t, err)
	n := nodeOf(server)
	f := openFleet(t, labSettings())
	data := sql(t, server, "SHOW data_directory")
	lookUntil(t, f, n, answered)
	confirmed(t, sendBeat(t, f, beatOf(1, n, 1)))

	space := filepath.Join(filepath.Dir(data), "space")
	must(t, os.Mkdir(space, 0o700))
	smallDisk(t, server, space, 4)
	sql(t, server, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", space))
	sql(t, server, "CREATE TABLE bulk(filler text) TABLESPACE small")
	if _, err := server.SQL(t.Context(), fill); err == nil {
		t.Fatal("the disk is not full")
	}
	confirmed(t, sendBeat(t, f, beatOf(1, n, 2)))
	if seen := lookAt(t, f, n); !answered(seen) || seen.Row.Stamp != 2 {
		t.Errorf("data disk full: %+v", seen)
	}
	sql(t, server, "DROP TABLE bulk; CREATE TABLE bulk(filler text)")

	must(t, server.Stop(t.Context()))
	wal := filepath.Join(data, "pg_wal")
	must(t, os.Rename(wal, wal+".old"))
	must(t, os.Mkdir(wal, 0o700))
	smallDisk(t, server, wal, 40)
	must(t, command("sh", "-c", fmt.Sprintf("cp -a %s.old/. %s", wal, wal)))
	must(t, server.Start(t.Context()))
	lookUntil(t, f, n, answered)
	_, _ = server.SQL(t.Context(), fill) // ends with the server
	dropped(t, f)
	lookUntil(t, f, n, because(cluster.ReasonRefused))
	if sent := sendBeat(t, f, beatOf(1, n, 3)); sent.Verdict == cluster.Confirmed {
		t.Error("a beat on a full disk was confirmed")
	}
	if !strings.Contains(server.Log(), "PANIC:") {
		t.Error("the server ended for another reason")
	}
}

const fill = "INSERT INTO bulk SELECT repeat('x', 1000) FROM generate_series(1, 100000)"

// smallDisk mounts a file system of so many MiB for a server.
func smallDisk(t *testing.T, s *pglab.Server, dir string, size int) {
	t.Helper()
	must(t, exec.Command("chown", "--reference", filepath.Dir(dir), dir).Run())
	var owner unix.Stat_t
	must(t, unix.Stat(dir, &owner))
	must(t, unix.Mount("plusmoin-test", dir, "tmpfs", 0,
		fmt.Sprintf("size=%dm,mode=700,uid=%d,gid=%d", size, owner.Uid, owner.Gid)))
	t.Cleanup(func() {
		_ = s.Kill(t.Context()) // it has files open there; killed again with the lab
		must(t, unix.Unmount(dir, unix.MNT_DETACH))
	})
}
