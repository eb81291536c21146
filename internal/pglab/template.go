package pglab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// initdb's arguments. Segments of 1 MB make a data folder small to copy.
const initdbArgs = "--username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C --wal-segsize=1"

// replicator is the role that slaves connect as.
const replicator = "replicator"

// preparation is run once by a single-user server, which takes one statement
// per line. template0 goes because every server would copy its 300 files.
const preparation = `SET password_encryption = 'scram-sha-256'
CREATE ROLE ` + User + ` LOGIN PASSWORD '` + Password + `'
CREATE ROLE ` + replicator + ` LOGIN REPLICATION
CREATE DATABASE ` + Database + ` OWNER ` + User + `
UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'
DROP DATABASE template0
`

// findTemplate returns a prepared data folder that must not be changed. initdb
// takes longer than starting a cluster, so its result is kept in the user's
// cache folder, and made for this lab alone where that cannot be written.
func findTemplate(ctx context.Context, t tools, version string) (string, error) {
	made := filepath.Join(t.home, ".template")
	cache, err := os.UserCacheDir()
	if err != nil {
		return made, makeTemplate(ctx, t, made)
	}
	key := sha256.Sum256([]byte(version + runtime.GOARCH + initdbArgs + preparation))
	kept := filepath.Join(cache, "plusmoin", fmt.Sprintf("pglab-%x", key[:8]))
	if isWhole(kept) {
		return filepath.Join(kept, "data"), nil
	}
	if err := makeTemplate(ctx, t, made); err != nil {
		return "", err
	}
	if keep(made, kept) != nil {
		return made, nil // without a cache the next lab is slower, no more
	}
	return filepath.Join(kept, "data"), nil
}

func makeTemplate(ctx context.Context, t tools, dir string) error {
	args := append(strings.Fields(initdbArgs), "--pgdata="+dir)
	if _, err := t.run(ctx, "", "initdb", args...); err != nil {
		return err
	}
	cmd := t.command(ctx, "postgres", "--single", "-F", "-D", dir, "postgres")
	cmd.Stdin = strings.NewReader(preparation)
	out, err := cmd.CombinedOutput()
	// A failed statement does not fail the single-user server.
	if err == nil && strings.Contains(string(out), "ERROR:") {
		err = errors.New("statement refused")
	}
	if err != nil {
		return fmt.Errorf("postgres --single: %w: %s", err, out)
	}
	return nil
}

// keep copies a template into the cache. Several programs may do so at once:
// the first rename wins, and the others go on with what they made.
func keep(made, kept string) error {
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	half, err := os.MkdirTemp(filepath.Dir(kept), "half-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half)
	data := filepath.Join(half, "data")
	if err := os.CopyFS(data, os.DirFS(made)); err != nil {
		return err
	}
	size, err := sizeOf(data)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(half, "size"), []byte(size), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(kept); err == nil && !isWhole(kept) {
		os.RemoveAll(kept)
	}
	return os.Rename(half, kept)
}

// isWhole reports whether a kept template is all there: neither a power cut
// nor a cleaner of old files may leave us with half of one.
func isWhole(kept string) bool {
	want, err := os.ReadFile(filepath.Join(kept, "size"))
	if err != nil {
		return false
	}
	size, err := sizeOf(filepath.Join(kept, "data"))
	return err == nil && size == string(want)
}

// sizeOf returns the number of files and folders below dir and of their bytes.
func sizeOf(dir string) (string, error) {
	var entries, total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		entries++
		if info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return fmt.Sprintf("%d %d", entries, total), err
}

// copyData copies the data folder of a stopped server and hands it to the
// servers' account.
func copyData(from, to string, who account) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o700); err != nil {
		return err
	}
	return who.own(to)
}

// newIdentity gives a stopped copy of the template a system identifier of its
// own, by which a monitor tells servers apart. It stands at the start of the
// control file and in the header of every WAL segment. (pg_resetwal writes WAL
// that no slave can start from.)
func newIdentity(data string) error {
	path := filepath.Join(data, "global", "pg_control")
	control, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum, err := checksumAt(control)
	if err != nil {
		return err
	}
	old := bytes.Clone(control[:8])
	id := uint64(time.Now().Unix())<<32 | uint64(rand.Uint32())
	binary.NativeEndian.PutUint64(control, id)
	binary.NativeEndian.PutUint32(control[sum:], crc32.Checksum(control[:sum], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, control, 0o600); err != nil {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(data, "pg_wal", strings.Repeat("[0-9A-F]", 24)))
	if err != nil {
		return err
	}
	for _, path := range segments {
		if err := patch(path, 24, old, control[:8]); err != nil {
			return err
		}
	}
	return nil
}

// patch replaces bytes of a file, where they are what they should be.
func patch(path string, at int64, old, fresh []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	found := make([]byte, len(old))
	if _, err = f.ReadAt(found, at); err == nil && bytes.Equal(found, old) {
		_, err = f.WriteAt(fresh, at)
	}
	return errors.Join(err, f.Close())
}

// checksumAt finds the CRC-32C that ends the control data. Its place differs
// between versions, but it is the only number that is the sum of all before.
func checksumAt(control []byte) (int, error) {
	const longest = 512 // PG_CONTROL_MAX_SAFE_SIZE: one sector
	table := crc32.MakeTable(crc32.Castagnoli)
	for at := 64; at+4 <= min(len(control), longest); at += 4 {
		if binary.NativeEndian.Uint32(control[at:]) == crc32.Checksum(control[:at], table) {
			return at, nil
		}
	}
	return 0, errors.New("no checksum in pg_control")
}
