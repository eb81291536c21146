package plainfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The users of these tests besides the one who runs them.
const (
	nobody = 65534
	other  = 65533
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put makes a file, "a/" being a directory and "a>b" a link to b.
func put(t *testing.T, name string, uid int, mode fs.FileMode) {
	t.Helper()
	path, target, link := strings.Cut(name, ">")
	switch {
	case link:
		must(t, os.Symlink(target, path))
	case strings.HasSuffix(path, "/"):
		must(t, os.Mkdir(path, 0o700))
		must(t, os.Chmod(path, mode))
	default:
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chmod(path, mode))
	}
	if uid >= 0 {
		must(t, os.Lchown(strings.TrimSuffix(path, "/"), uid, uid))
	}
}

// inTime fails if f takes as long as something that waits for ever.
func inTime(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
		return nil
	}
}

func says(t *testing.T, name string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(dir+"/pipe", 0o600))
	must(t, unix.Mkfifo(dir+"/pipe2", 0o600))
	must(t, os.Symlink("pipe", dir+"/link"))
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(socket)
	must(t, unix.Bind(socket, &unix.SockaddrUnix{Name: dir + "/socket"}))
	for path, want := range map[string]string{
		dir + "/pipe":    "named pipe",
		dir + "/link":    "named pipe",
		dir + "/socket":  "socket",
		dir:              "directory",
		"/dev/null":      "device",
		dir + "/none":    "no such file",
		dir + "/pipe/x":  "not a directory",
		dir + "/none/x":  "no such file",
		"/proc/self/fd/": "directory",
	} {
		says(t, path, inTime(t, func() error {
			file, err := Open(path)
			if err == nil {
				must(t, file.Close())
			}
			return err
		}), want)
		if path == dir+"/link" || path == dir+"/none" || path == "/proc/self/fd/" {
			continue
		}
		says(t, path, inTime(t, func() error {
			_, err := OpenOwn(path, os.O_WRONLY|os.O_CREATE, 0o600)
			return err
		}), want)
	}
	if _, err := Open(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is missing: %v", err)
	}
	var strange Error
	if _, err := Open(dir + "/pipe"); !errors.As(err, &strange) || strange.Path != dir+"/pipe" {
		t.Errorf("a pipe: %#v", err)
	}
}

// TestExchangedMeanwhile puts something else in the place of a file that has just
// been judged.
func TestExchangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/file"
	put(t, dir+"/secret", -1, 0o600)
	for want, exchange := range map[string]func() error{
		"too many levels": func() error { return os.Symlink("secret", path) },
		"named pipe":      func() error { return unix.Mkfifo(path, 0o600) },
	} {
		put(t, path, -1, 0o600)
		e, err := find(path, false)
		must(t, err)
		must(t, os.Remove(path))
		must(t, exchange())
		says(t, want, inTime(t, func() error {
			_, err := e.open(os.O_RDONLY, 0)
			return err
		}), want)
		e.close()
		must(t, os.Remove(path))
	}
}

func TestOpenFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	put(t, dir+"/a/", -1, 0o755)
	put(t, dir+"/a/b/", -1, 0o755)
	must(t, os.WriteFile(dir+"/a/b/file", []byte("right"), 0o600))
	for _, link := range []string{"/up>a/b/../../a/b/file", "/abs>" + dir + "/a/b", "/loop>loop", "/chain>abs/file"} {
		put(t, dir+link, -1, 0)
	}
	for path, want := range map[string]string{
		dir + "/up": "", dir + "/abs/file": "", dir + "/chain": "", "a/b/file": "", "./a/../chain": "",
		dir + "/loop": "too many levels",
	} {
		file, err := Open(path)
		says(t, path, err, want)
		if err != nil {
			continue
		}
		text := make([]byte, 5)
		if _, err := file.Read(text); err != nil || string(text) != "right" {
			t.Errorf("%s holds %q, %v", path, text, err)
		}
		must(t, file.Close())
	}
}

func TestOpenOwn(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/file", -1, 0o600)
	put(t, dir+"/link>file", -1, 0)
	put(t, dir+"/dangling>none", -1, 0)
	put(t, dir+"/twice", -1, 0o600)
	must(t, os.Link(dir+"/twice", dir+"/twice2"))
	for name, want := range map[string]string{
		"file": "", "new": "", "link": "symbolic link", "dangling": "symbolic link", "twice": "has 2 names",
	} {
		file, err := OpenOwn(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		says(t, name, err, want)
		if err == nil {
			must(t, file.Close())
		}
	}
	if _, err := os.Lstat(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a link was followed to make a file")
	}
	info, err := os.Stat(dir + "/new")
	must(t, err)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("made with mode %v", info.Mode())
	}
}

func TestMakeDirectory(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/link>real", -1, 0)
	put(t, dir+"/real/", -1, 0o755)
	put(t, dir+"/file", -1, 0o600)
	for path, want := range map[string]string{
		dir: "", dir + "/a/b/c": "", dir + "/link/d/e": "", dir + "/file/f": "not a directory",
	} {
		says(t, path, MakeDirectory(path), want)
	}
	for _, made := range []string{"/a/b/c", "/real/d/e"} {
		if info, err := os.Stat(dir + made); err != nil || !info.IsDir() {
			t.Errorf("%s was not made: %v", made, err)
		}
	}
}

// TestPlanted: what other users leave where they can is not used.
func TestPlanted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: files of other users; only root can make them")
	}
	dir := t.TempDir()
	put(t, dir+"/tmp/", 0, fs.ModeSticky|0o777)
	put(t, dir+"/tmp/log", nobody, 0o666)
	put(t, dir+"/tmp/mine", 0, 0o600)
	put(t, dir+"/tmp/dir>"+dir, nobody, 0)
	put(t, dir+"/tmp/link>../secret", nobody, 0)
	put(t, dir+"/tmp/roots>../secret", 0, 0)
	put(t, dir+"/theirs/", nobody, 0o755)
	put(t, dir+"/theirs/log", nobody, 0o640)
	put(t, dir+"/theirs/link>../secret", nobody, 0)
	put(t, dir+"/shared/", nobody, 0o777)
	put(t, dir+"/shared/log", other, 0o666)
	put(t, dir+"/secret", 0, 0o600)
	for name, want := range map[string]string{
		"tmp/link": "is a link of user nobody, which is not followed", "tmp/dir/secret": "is a link of user nobody",
		"theirs/link": "is a link of user nobody", "tmp/roots": "", "tmp/log": "", "theirs/log": "",
	} {
		_, err := Open(filepath.Join(dir, name))
		says(t, "read "+name, err, want)
	}
	says(t, "make below a link", MakeDirectory(dir+"/tmp/dir/made/by/root"), "is a link of user nobody")
	if _, err := os.Lstat(dir + "/made"); err == nil {
		t.Error("a directory was made through a planted link")
	}
	for name, want := range map[string]string{
		"tmp/log": "belongs to user nobody, in a directory that others can write", "tmp/mine": "",
		"tmp/dir/new": "is a link of user nobody", "tmp/link": "is a link", "tmp/roots": "symbolic link",
		"theirs/log": "", "shared/log": "belongs to user " + userName(other),
	} {
		_, err := OpenOwn(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		// Where the system itself protects such files, it is refused sooner.
		if errors.Is(err, syscall.EACCES) && want != "" {
			continue
		}
		says(t, "write "+name, err, want)
	}
}

func TestGuarded(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT CHECKED: what only root can change; only root can make that")
	}
	dir := t.TempDir()
	put(t, dir+"/etc/", 0, 0o750)
	put(t, dir+"/etc/good", 0, 0o640)
	put(t, dir+"/etc/theirs", nobody, 0o640)
	put(t, dir+"/etc/group", 0, 0o660)
	put(t, dir+"/etc/all", 0, 0o646)
	put(t, dir+"/etc/link>good", 0, 0)
	put(t, dir+"/etc/theirlink>good", nobody, 0)
	put(t, dir+"/etc/away>../home/good", 0, 0)
	put(t, dir+"/home/", nobody, 0o755)
	put(t, dir+"/home/good", 0, 0o640)
	put(t, dir+"/home/sub/", 0, 0o755)
	put(t, dir+"/home/sub/good", 0, 0o640)
	put(t, dir+"/open/", 0, 0o775)
	put(t, dir+"/open/good", 0, 0o640)
	put(t, dir+"/tmp/", 0, fs.ModeSticky|0o777)
	put(t, dir+"/tmp/good", 0, 0o640)
	put(t, dir+"/tmp/theirs/", nobody, 0o755)
	put(t, dir+"/tmp/theirs/good", 0, 0o640)
	for name, want := range map[string]string{
		"etc/good": "", "etc/link": "", "tmp/good": "", "etc/../etc/good": "",
		"etc/theirs": "etc/theirs belongs to user nobody", "etc/group": "can be written by others",
		"etc/all": "can be written by others", "etc/theirlink": "etc/theirlink belongs to user nobody",
		"etc/away": "/home belongs to user nobody", "home/good": "/home belongs to user nobody",
		"home/sub/good": "/home belongs to user nobody",
		"open/good":     "/open can be written by others", "tmp/theirs/good": "/tmp/theirs belongs to user nobody",
	} {
		says(t, name, Guarded(dir+"/"+name), want)
	}
	says(t, "exposed etc", Exposed(dir+"/etc/x"), "")
	says(t, "exposed tmp", Exposed(dir+"/tmp/x"), "")
	says(t, "exposed home", Exposed(dir+"/home/x"), "/home belongs to user nobody")
	says(t, "exposed open", Exposed(dir+"/open/x"), "/open can be written by others")
}
