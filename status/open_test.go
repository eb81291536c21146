package status

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReadFileWaitsForNothing has what stands in the place of a status file:
// an open of the pipe would wait for a writer that never comes.
func TestReadFileWaitsForNothing(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, MaxSize+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe:        "is ",
		dir:         "is ",
		"/dev/zero": "is ",
		large:       "is larger than",
		dir + "/no": "no such file",
	} {
		if _, _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
		if _, err := Read(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
	if err := os.Truncate(large, MaxSize); err != nil {
		t.Fatal(err)
	}
	if data, info, err := ReadFile(large); err != nil || len(data) != MaxSize || info.Size() != MaxSize {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
