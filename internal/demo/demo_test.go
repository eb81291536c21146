package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plusmoin/internal/demo"
)

// program returns plusmoin, built from the source at hand.
func program(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "plusmoin")
	if out, err := exec.Command("go", "build", "-o", path, "plusmoin/cmd/plusmoin").CombinedOutput(); err != nil {
		t.Fatalf("building plusmoin: %v\n%s", err, out)
	}
	return path
}

// printed is what a demo has written. Waiting for a text can be done from
// another goroutine.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed at each write, and replaced
}

func newPrinted() *printed { return &printed{more: make(chan struct{})} }

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.more)
	p.more = make(chan struct{})
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// await waits until there are so many of a text.
func (p *printed) await(ctx context.Context, text string, count int) error {
	for {
		p.mu.Lock()
		found, more := strings.Count(p.text.String(), text), p.more
		p.mu.Unlock()
		if found >= count {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q: %w", text, ctx.Err())
		}
	}
}

// playground makes a folder that the servers' user can enter, has labs be made
// there, and checks in the end that nothing of them is left.
func playground(t *testing.T) {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the folder: %v, %v", left, err)
		}
		for _, p := range processesIn(t, dir) {
			t.Errorf("left running: %s", p)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

// processesIn returns the processes that were started with, or work in, a
// folder.
func processesIn(t *testing.T, dir string) []string {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	var found []string
	for _, p := range paths {
		command, _ := os.ReadFile(filepath.Join(p, "cmdline")) // it may have ended by now
		works, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(command, []byte(dir)) || strings.HasPrefix(works, dir) {
			found = append(found, fmt.Sprintf("%s %s in %s", filepath.Base(p), bytes.ReplaceAll(command, []byte{0}, []byte(" ")), works))
		}
	}
	return found
}

// TestStory plays the whole of it, then tries every command that it suggests.
func TestStory(t *testing.T) {
	playground(t)
	out := newPrinted()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	o := demo.Options{Program: program(t), Out: out, Keep: true}
	go func() {
		defer cancel() // whoever waits for output waits no longer
		ended <- demo.Run(ctx, o)
	}()
	err := out.await(ctx, "Ctrl-C ends it", 1)
	if err == nil {
		if len(processesIn(t, os.Getenv("TMPDIR"))) < 4 {
			t.Error("looking for processes does not find those of the demo")
		}
		err = trySuggestions(ctx, out)
	}
	cancel()
	if ran := <-ended; err != nil || ran != nil {
		t.Fatalf("playing: %v; demo: %v\n%s", err, ran, out)
	}
	inOrder(t, out.String(),
		"db1 at 127.0.0.1:",
		"\n1. plusmoin finds out", "trigger plusmoin_up: cluster 0", `{ "event": "plusmoin_up"`,
		"\n2. A slave dies", "trigger slave_down: db3 in cluster 0", `"lost": [{"host"`, "lost", "refused",
		"\n3. The slave returns", "trigger slave_up: db3 in cluster 0", `"lost": []`,
		"\n4. The master dies", "trigger master_down: db1 in cluster 0", `"master": null`, `"dead_master"`,
		"\n5. A slave is promoted", "trigger master_up: db2 in cluster 0",
		"\n6. The other slave", "No trigger is run.",
		"\n7. The old master returns", "trigger cluster_split: db1 in cluster 1", "Orders on db2: 2. Orders on db1: 1.",
		"\n8. The old master is rebuilt", "trigger slave_up: db1 in cluster 0", "Orders on db2: 2. Orders on db1: 2.",
		"\nThe end,", "kill -9 of the master",
		"\nAll of it is left running",
		"trigger master_down: db2 in cluster 0", "trigger master_up: db1 in cluster 0", "trigger cluster_split: db2 in cluster 2",
		"Ending plusmoin",
	)
}

// trySuggestions runs the commands that the demo shows, which are the lines
// that are not indented, and waits for the triggers that go with them.
func trySuggestions(ctx context.Context, out *printed) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, text, _ := strings.Cut(out.String(), "in another terminal:\n")
	lines := bufio.NewScanner(strings.NewReader(text))
	what, tried := "", 0
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, " ") {
			what = strings.TrimSpace(line)
		}
		if line == "" || strings.HasPrefix(line, " ") {
			continue
		}
		tried++
		result, err := exec.CommandContext(ctx, "/bin/sh", "-c", line).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s\n%s: %w\n%s", what, line, err, result)
		}
		for trigger, text := range map[string]string{
			"master_down":   "trigger master_down: db2 in cluster 0",
			"master_up":     "trigger master_up: db1 in cluster 0",
			"cluster_split": "trigger cluster_split: db2 in cluster 2", // no id is used twice
		} {
			if strings.HasSuffix(what, ": "+trigger+":") {
				if err := out.await(ctx, text, 1); err != nil {
					return err
				}
			}
		}
	}
	if tried != 11 {
		return fmt.Errorf("%d commands were suggested", tried)
	}
	return nil
}

// inOrder checks that texts follow each other.
func inOrder(t *testing.T, text string, want ...string) {
	rest := text
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("%q is not where it should be in\n%s", w, text)
		}
		rest = after
	}
}

// TestInterrupted ends the story while a promotion is under way.
func TestInterrupted(t *testing.T) {
	playground(t)
	out := newPrinted()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := demo.Options{Program: program(t), Out: out}
	go func() {
		_ = out.await(ctx, "5. A slave is promoted", 1) // the error is that of ctx
		cancel()
	}()
	if err := demo.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if strings.Contains(out.String(), "6.") {
		t.Errorf("it went on:\n%s", out)
	}
	inOrder(t, out.String(), "5. A slave is promoted", "Ending plusmoin")
}

// TestWithoutPlusmoin shows that a demo can fail.
func TestWithoutPlusmoin(t *testing.T) {
	playground(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := demo.Run(ctx, demo.Options{Program: "/bin/echo", Out: newPrinted()})
	if err == nil || !strings.Contains(err.Error(), "plusmoin has ended") {
		t.Errorf("ended with %v", err)
	}
}
