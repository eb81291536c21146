//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"plusmoin/internal/fleet"
)

// The fake fleet: so many clusters, of a master and two slaves each.
const (
	fakeClusters = 8
	fakeSlaves   = 2
)

// fakeFleet is the fleet in a process of its own.
type fakeFleet struct {
	*fleet.Process
	random *rand.Rand
}

// startFleet builds and starts it.
func startFleet(dir string, random *rand.Rand) (*fakeFleet, error) {
	path := filepath.Join(dir, "fakefleet")
	if err := goBuild(path, "plusmoin/internal/fleet/cmd/fakefleet"); err != nil {
		return nil, err
	}
	p, err := fleet.Launch(path, fakeClusters*(fakeSlaves+1), fakeSlaves)
	return &fakeFleet{p, random}, err
}

// cluster returns the nodes of a cluster, its master first.
func (f *fakeFleet) cluster(c int) []server {
	var nodes []server
	for m := range fakeSlaves + 1 {
		nodes = append(nodes, &fake{fleet: f, index: c*(fakeSlaves+1) + m, at: fmt.Sprintf("%d.%d", c, m)})
	}
	return nodes
}

// fake is a node of the fleet.
type fake struct {
	fleet *fakeFleet
	index int
	at    string // as the fleet calls it
	ended bool
}

// never is by how much a slave lags that does not replay.
const never = "10000h"

func (f *fake) Name() string  { return "f" + f.at }
func (f *fake) Host() string  { return fleet.Host(f.index) }
func (f *fake) Port() int     { return f.fleet.Port() }
func (f *fake) Running() bool { return !f.ended }
func (f *fake) Log() string   { return "" }

// do gives the fleet commands for this node: %s stands for it.
func (f *fake) do(commands ...string) error {
	for i, c := range commands {
		commands[i] = strings.Replace(c, "%s", f.at, 1)
	}
	_, err := f.fleet.Do(commands...)
	return err
}

// Kill ends it. When it starts it replays all that it had received.
func (f *fake) Kill(context.Context) error {
	f.ended = true
	return f.do("down %s", "lag %s 0s")
}

func (f *fake) Stop(ctx context.Context) error { return f.Kill(ctx) }

func (f *fake) Start(context.Context) error {
	f.ended = false
	return f.do("thaw %s")
}

func (f *fake) Restart(ctx context.Context) error { return errors.Join(f.Kill(ctx), f.Start(ctx)) }

func (f *fake) Freeze() error { return f.do("hang %s") }
func (f *fake) Thaw() error   { return f.do("thaw %s") }

func (f *fake) Promote(context.Context) error      { return f.do("promote %s") }
func (f *fake) PauseReplay(context.Context) error  { return f.do("lag %s " + never) }
func (f *fake) ResumeReplay(context.Context) error { return f.do("lag %s 0s") }
func (f *fake) seal(context.Context) error         { return f.do("seal %s") }
func (f *fake) unseal(context.Context) error       { return f.do("thaw %s") }
func (f *fake) hangUp(context.Context) error       { return f.do("reset %s") }

// follow also starts it, as that of a PostgreSQL server does.
func (f *fake) follow(ctx context.Context, of server) error {
	err := f.do("follow %s " + of.(*fake).at)
	if err == nil && f.ended {
		err = f.Start(ctx)
	}
	return err
}

func (f *fake) rebuild(ctx context.Context, of server) error { return f.follow(ctx, of) }

// bar makes it useless for plusmoin in one of the ways a fake can be, but that
// its slaves need not mind.
func (f *fake) bar(context.Context) error {
	ways := []string{
		"garbage %s", "big %s 100000000",
		"refuse %s 28P01", "refuse %s 53300", "refuse %s 57P03", "refuse %s 3D000",
	}
	return f.do(ways[f.fleet.random.IntN(len(ways))], "reset %s")
}

func (f *fake) unbar(context.Context) error { return f.do("thaw %s") }

// received says nothing: all slaves of a cluster that serve have as much.
func (f *fake) received(context.Context) (string, error) { return "", nil }

func (f *fake) heartbeat(context.Context) (record, error) {
	text, err := f.fleet.Do("show " + f.at)
	if err != nil {
		return record{}, err
	}
	return readRecord(text)
}
