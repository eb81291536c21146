package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"plusmoin/daemon"
)

// TestDied has a daemon die after it has added twelve lines to its log.
func TestDied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	dead := fmt.Errorf("%w (exit status 2)", daemon.ErrDied)
	if err := died(dead, path, 0); err.Error() != "the daemon died (exit status 2) and logged nothing" {
		t.Errorf("without a log: %v", err)
	}
	before := "an older line\n"
	var added []string
	for i := range 12 {
		added = append(added, fmt.Sprintf("line %d", i+1))
	}
	write(t, path, before+strings.Join(added, "\n")+"\n")
	err := died(dead, path, int64(len(before)))
	want := "the daemon died (exit status 2); the last it logged:\n" + strings.Join(added[2:], "\n")
	if err.Error() != want || !errors.Is(err, daemon.ErrDied) {
		t.Errorf("got %q, want %q", err, want)
	}
	// A log that was rotated meanwhile is shorter than it was.
	if got := lastLines(path, 1<<20); got != "" {
		t.Errorf("beyond the end: %q", got)
	}
}
