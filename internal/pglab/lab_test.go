package pglab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCluster(t *testing.T) {
	ctx := t.Context()
	lab := New(t)
	begin := time.Now()
	servers, err := lab.Cluster(ctx, "m", "s1", "s2")
	must(t, err)
	t.Logf("a cluster of three is up and streaming after %v", time.Since(begin).Round(time.Millisecond))

	master := servers[0]
	want(t, master, "SELECT pg_is_in_recovery()", "f")
	ask(t, master, "CREATE TABLE t AS SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'")
	for _, slave := range servers[1:] {
		must(t, slave.CatchUp(ctx))
		want(t, slave, "SELECT pg_is_in_recovery()", "t")
		want(t, slave, "SELECT * FROM t ORDER BY a", "1|x\n2|y")
	}

	other, err := lab.Master(ctx, "other")
	must(t, err)
	const identity = "SELECT system_identifier FROM pg_control_system()"
	want(t, servers[1], identity, ask(t, master, identity))
	if ask(t, other, identity) == ask(t, master, identity) {
		t.Error("two masters share a system identifier")
	}
	if got := lab.Servers(); !slices.Equal(got, append(servers, other)) {
		t.Errorf("Servers: %v", got)
	}
}

// TestUnprivileged repeats TestCluster as an ordinary user, which root cannot
// do in place.
func TestUnprivileged(t *testing.T) {
	who, err := serverAccount()
	must(t, err)
	if who.credential == nil {
		return // every other test is one already
	}
	home, err := makeFolder("", who)
	must(t, err)
	defer os.RemoveAll(home)
	self, err := os.ReadFile(os.Args[0])
	must(t, err)
	binary := filepath.Join(home, "pglab.test")
	must(t, os.WriteFile(binary, self, 0o755))
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^(TestCluster|TestUnprivileged)$", "-test.v")
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestCluster") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	ctx := t.Context()
	lab, err := Open(ctx, Options{Dir: openFolder(t)})
	must(t, err)
	servers, err := lab.Cluster(ctx, "frozen", "killed", "running")
	if err != nil {
		t.Fatal(errors.Join(err, lab.Close()))
	}
	if _, err := lab.Master(ctx, "broken", Conf("max_connections", "many")); err == nil || !strings.Contains(err.Error(), "invalid value") {
		t.Errorf("start with a bad setting: %v", err)
	}
	pids, err := descendants(os.Getpid())
	must(t, err)
	memory := segments(servers)
	if left := present(t, memory); len(left) != len(servers) {
		t.Fatalf("shared memory of three servers: %q", left)
	}

	must(t, servers[0].Freeze())
	must(t, servers[1].Kill(ctx))
	must(t, lab.Close())
	if left := alive(t, pids); len(left) > 0 {
		t.Errorf("%d of %d processes left: %v", len(left), len(pids), left)
	}
	if left := present(t, memory); len(left) > 0 {
		t.Errorf("shared memory left: %q", left)
	}
	if _, err := os.Stat(lab.dir); !os.IsNotExist(err) {
		t.Errorf("folder left: %v", err)
	}
	must(t, lab.Close())
	if _, err := lab.Master(ctx, "late"); !errors.Is(err, errClosed) {
		t.Errorf("a master in a closed lab: %v", err)
	}
	if err := servers[2].Start(ctx); err == nil {
		t.Error("a server of a closed lab starts")
	}
}

// openFolder returns a folder which the servers' user can enter.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "open-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// segments returns the System V shared memory of servers, as "key id".
func segments(servers []*Server) []string {
	var found []string
	for _, s := range servers {
		found = append(found, strings.Join(strings.Fields(s.pidFileLine(7)), " "))
	}
	return found
}

// present returns those of the segments that exist.
func present(t *testing.T, segments []string) []string {
	t.Helper()
	table, err := os.ReadFile("/proc/sysvipc/shm")
	must(t, err)
	var found []string
	for line := range strings.Lines(string(table)) {
		words := strings.Fields(line)
		if len(words) > 1 && slices.Contains(segments, words[0]+" "+words[1]) {
			found = append(found, words[0]+" "+words[1])
		}
	}
	return found
}

func TestOpenExplains(t *testing.T) {
	if _, err := Open(t.Context(), Options{Bin: t.TempDir()}); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("no programs: %v", err)
	}
	deep := filepath.Join(openFolder(t), strings.Repeat("d", 100))
	must(t, os.Mkdir(deep, 0o755))
	if _, err := Open(t.Context(), Options{Dir: deep}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("long path: %v", err)
	}
	closed := openFolder(t)
	must(t, os.Chmod(closed, 0o500)) // to write, or to enter by another user
	if _, err := Open(t.Context(), Options{Dir: closed}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("closed folder: %v", err)
	}
	for _, dir := range []string{deep, closed} {
		if left, err := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left in %s: %v %v", dir, left, err)
		}
	}
}

func TestInstalledNewestFirst(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "16", "9.10"} {
		must(t, os.MkdirAll(filepath.Join(root, version, "bin"), 0o755))
	}
	var got []string
	for _, dir := range installed([]string{filepath.Join(root, "*", "bin")}) {
		got = append(got, filepath.Base(filepath.Dir(dir)))
	}
	if order := []string{"16", "15", "9.10", "9.6"}; !slices.Equal(got, order) {
		t.Errorf("got %v, want %v", got, order)
	}
}

func TestKeptTemplateIsMendedWhenDamaged(t *testing.T) {
	ctx := t.Context()
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	open := func() *Lab {
		lab, err := Open(ctx, Options{})
		must(t, err)
		t.Cleanup(func() { lab.Close() })
		return lab
	}
	template := open().template
	if !strings.HasPrefix(template, cache) {
		t.Fatalf("template in %s, not in the cache", template)
	}
	file := filepath.Join(template, "global", "pg_filenode.map")
	must(t, os.Truncate(file, 0))
	if again := open().template; again != template {
		t.Fatalf("template in %s, want %s", again, template)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("the damaged file is not mended: %v", err)
	}
	halves, err := filepath.Glob(filepath.Join(cache, "plusmoin", "half-*"))
	if err != nil || len(halves) > 0 {
		t.Errorf("left in the cache: %v %v", halves, err)
	}

	t.Setenv("XDG_CACHE_HOME", filepath.Join(file, "no-folder"))
	lab := open()
	if !strings.HasPrefix(lab.template, lab.dir) {
		t.Errorf("template in %s without a cache", lab.template)
	}
}

// recorder is a test that fails, or not.
type recorder struct {
	*testing.T
	failed  bool
	log     strings.Builder
	cleanup []func()
}

func (r *recorder) Cleanup(f func())             { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Failed() bool                 { return r.failed }
func (r *recorder) Logf(format string, a ...any) { fmt.Fprintf(&r.log, format, a...) }
func (r *recorder) Context() context.Context     { return r.T.Context() }

func TestNewShowsLogsOfAFailedTest(t *testing.T) {
	for _, failed := range []bool{false, true} {
		r := &recorder{T: t, failed: failed}
		lab := New(r, Conf("log_statement", "all"))
		m, err := lab.Master(t.Context(), "m")
		must(t, err)
		ask(t, m, "SELECT 'footprint'")
		for _, f := range r.cleanup {
			f()
		}
		if shown := strings.Contains(r.log.String(), "footprint"); shown != failed {
			t.Errorf("failed %v: shown %v:\n%s", failed, shown, r.log.String())
		}
		if m.Running() {
			t.Error("the lab was not closed")
		}
	}
}
