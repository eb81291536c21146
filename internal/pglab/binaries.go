package pglab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotInstalled is what Open's error wraps when the PostgreSQL server
// programs were not found.
var ErrNotInstalled = errors.New("PostgreSQL server programs not found")

// oldest is the first major version that tells when replay has paused; slaves
// that change their master by a reload came with the one before.
const oldest = 14

// needed are the programs which must stand together in one folder, so that
// they are of one version.
func needed() []string {
	return []string{"postgres", "initdb", "psql", "pg_basebackup", "pg_rewind"}
}

// usualPlaces are where packages put the server programs, mostly outside PATH.
func usualPlaces() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                          // Debian
		"/usr/pgsql-*/bin",                                   // PGDG on Red Hat
		"/usr/lib*/postgresql*/bin",                          // SUSE and Gentoo
		"/usr/libexec/postgresql*",                           // Alpine
		"/usr/local/pgsql*/bin",                              // built from source
		"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew
		"/usr/local/opt/postgresql*/bin",                     // Homebrew on Intel
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	}
}

// findBinaries returns the folder of the server programs.
func findBinaries(given string) (string, error) {
	if given != "" {
		if missing := missingFrom(given); missing != "" {
			return "", fmt.Errorf("%w: no %s in %s", ErrNotInstalled, missing, given)
		}
		return filepath.Abs(given)
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), installed(usualPlaces())...) {
		if filepath.IsAbs(dir) && missingFrom(dir) == "" {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w in PATH or %s; hint: install the PostgreSQL server (version %d or later), or put its bin folder in PATH",
		ErrNotInstalled, strings.Join(usualPlaces(), ", "), oldest)
}

// missingFrom returns the first needed program that dir lacks.
func missingFrom(dir string) string {
	for _, name := range needed() {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return name
		}
	}
	return ""
}

// installed returns the folders that match the patterns, newest version first.
func installed(patterns []string) []string {
	var dirs []string
	for _, p := range patterns {
		matches, _ := filepath.Glob(p) // fails for a malformed pattern only
		dirs = append(dirs, matches...)
	}
	version := func(dir string) []int { return numbersIn(strings.Replace(dir, "lib64", "lib", 1)) }
	slices.SortStableFunc(dirs, func(a, b string) int { return slices.Compare(version(b), version(a)) })
	return dirs
}

func numbersIn(s string) []int {
	var numbers []int
	for _, digits := range regexp.MustCompile(`\d+`).FindAllString(s, -1) {
		n, _ := strconv.Atoi(digits) // overflow sorts as the largest number
		numbers = append(numbers, n)
	}
	return numbers
}

// account is the system user that runs the servers; nil: our own.
type account struct{ credential *syscall.Credential }

// serverAccount returns whom to run servers as: PostgreSQL refuses to be root.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if uerr == nil && gerr == nil {
			return account{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return account{}, errors.New("no user postgres or nobody to run servers as; hint: do not run as root")
}

// own hands a file or a whole folder over to the account.
func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	return filepath.WalkDir(path, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, int(a.credential.Uid), int(a.credential.Gid))
	})
}

// tools runs PostgreSQL's programs as the servers' account.
type tools struct {
	bin, home string
	who       account
}

// command makes a command with an environment in which no PG variable or
// locale of the caller changes what the program does or says.
func (t tools) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, name), args...)
	cmd.Dir = t.home
	cmd.Env = []string{"PATH=" + t.bin + ":" + os.Getenv("PATH"), "HOME=" + t.home, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: t.who.credential}
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs a program to its end and returns what it wrote to its output. The
// error carries what it wrote to its error output.
func (t tools) run(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := t.command(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// version returns what postgres says of its version. Being the first program
// that is run, it also finds out whether the account can enter its home.
func (t tools) version(ctx context.Context) (string, error) {
	out, err := t.run(ctx, "", "postgres", "--version")
	if errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("%w; hint: the servers' user must be able to enter %s: set TMPDIR to a folder open to all", err, t.home)
	}
	if err != nil {
		return "", err
	}
	if n := numbersIn(out); len(n) == 0 || n[0] < oldest {
		return "", fmt.Errorf("%s in %s is too old: version %d or later is needed", strings.TrimSpace(out), t.bin, oldest)
	}
	return out, nil
}
