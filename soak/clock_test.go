//go:build linux

package soak

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// wallClock is the wall clock that plusmoin reads. It is off by as much as a
// file says that plusmoin has mapped into its memory, so it can be stepped
// without that of the machine.
type wallClock struct {
	file *os.File

	mu   sync.Mutex
	offs []time.Duration // by how much it has been off, the last now
}

// offMost is by how much it may be off. Nanoseconds are good for 292 years, and
// stamps must not come near the end of theirs.
const offMost = 2 * 365 * 24 * time.Hour

// newClock makes a clock that is right.
func newClock(path string) (*wallClock, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	c := &wallClock{file: file}
	return c, c.step(0)
}

// step sets the clock forward, or back.
func (c *wallClock) step(by time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	off := by + c.last()
	c.offs = append(c.offs, off) // first: what plusmoin writes now may be by either
	var text [8]byte
	binary.NativeEndian.PutUint64(text[:], uint64(off))
	_, err := c.file.WriteAt(text[:], 0)
	return err
}

func (c *wallClock) last() time.Duration {
	if len(c.offs) == 0 {
		return 0
	}
	return c.offs[len(c.offs)-1]
}

// off is by how much it is off.
func (c *wallClock) off() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last()
}

// now is what plusmoin reads now.
func (c *wallClock) now() time.Time { return time.Now().Round(0).Add(c.off()) }

// right returns when it really was what plusmoin took for t. That it was about
// then decides which of the steps had been made.
func (c *wallClock) right(t, about time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	best := t.Add(-c.last())
	for _, off := range c.offs {
		if at := t.Add(-off); at.Sub(about).Abs() < best.Sub(about).Abs() {
			best = at
		}
	}
	return best
}

//go:embed testdata/stepped.go
var stepped []byte

// buildStepped builds a plusmoin that reads such a clock: the standard library
// it gets is another where the time is told, and nothing else is.
func buildStepped(dir, path string) error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	library := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		return err
	}
	const told, instead = "sec, nsec, mono := runtimeNow()", "sec, nsec, mono := steppedNow()"
	if n := strings.Count(string(text), told); n != 1 {
		return fmt.Errorf("%d places in %s tell the time, the soak knows of one", n, library)
	}
	replaced := map[string]string{}
	for name, text := range map[string][]byte{
		"time.go":    []byte(strings.Replace(string(text), told, instead, 1)),
		"stepped.go": stepped,
	} {
		mine := filepath.Join(dir, name)
		replaced[filepath.Join(library, name)] = mine
		if err := os.WriteFile(mine, text, 0o644); err != nil {
			return err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
		return err
	}
	return goBuild(path, "plusmoin/cmd/plusmoin", "-overlay", filepath.Join(dir, "overlay.json"))
}

// goBuild builds a static program, as the one that is shipped is.
func goBuild(path, program string, options ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, options...), program)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, out)
	}
	return nil
}
