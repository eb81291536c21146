package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file writes a file with exactly the given mode.
func file(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plusmoin.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadWarnsOfReadablePassword(t *testing.T) {
	for _, c := range []struct {
		keys string
		mode fs.FileMode
		warn bool
	}{
		{`"password": "p"`, 0o600, false},
		{`"password": "p"`, 0o640, false},
		{`"password": "p"`, 0o604, true},
		{`"password": ""`, 0o644, false},
		{`"passfile": "p"`, 0o644, false},
	} {
		path := file(t, with(c.keys), c.mode)
		cfg, warnings, err := Load(path)
		if err != nil || cfg.DBName != "d" {
			t.Fatalf("Load = %+v, %v", cfg, err)
		}
		if (len(warnings) == 1) != c.warn {
			t.Errorf("%s with mode %v: warnings %v", c.keys, c.mode, warnings)
		}
		if c.warn && !strings.Contains(warnings[0].String(), path+" can be read by other users") {
			t.Errorf("warning reads %q", warnings[0])
		}
	}
}

func TestLoadErrors(t *testing.T) {
	path := file(t, `{"dbname": "d"}`, 0o600)
	_, _, err := Load(path)
	var list Errors
	if want := path + ": line 1: user: is required"; err == nil || err.Error() != want || !errors.As(err, &list) {
		t.Errorf("Load = %v, want %q as Errors", err, want)
	}
	if _, _, err := Load(path + ".gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file = %v", err)
	}
	if _, _, err := Load(filepath.Dir(path)); err == nil {
		t.Error("Load of a folder gives no error")
	}
	large := file(t, strings.Repeat(" ", maxSize+1), 0o600)
	if _, _, err := Load(large); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("Load of a large file = %v", err)
	}
}

func TestFind(t *testing.T) {
	if got, err := Find("given.json"); got != "given.json" || err != nil {
		t.Errorf("Find of a given path = %q, %v", got, err)
	}
	here := file(t, "{}", 0o600)
	gone := here + ".gone"
	for _, c := range []struct{ first, second, want string }{
		{here, here + "2", here},
		{gone, here, here},
	} {
		if got, err := findFirst(c.first, c.second); got != c.want || err != nil {
			t.Errorf("findFirst(%q, %q) = %q, %v", c.first, c.second, got, err)
		}
	}
	if _, err := findFirst(gone, gone+"2"); err == nil || !strings.Contains(err.Error(), gone+"2") {
		t.Errorf("findFirst of nothing = %v", err)
	}
}
