//go:build functional

package functional

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
)

// lab is what a story plays on: two networks, and the hosts that it puts there.
type lab struct {
	*testing.T
	version string // of PostgreSQL
	id      string // begins the names of all that is made

	watching    *dockertest.Network // plusmoin and all nodes
	replicating *dockertest.Network // all nodes, and nobody else
	hosts       []*host
}

func newLab(t *testing.T, version string) *lab {
	l := &lab{T: t, version: version, id: fmt.Sprintf("plusmoin-%08x", rand.Uint32())}
	l.watching = l.network("watching")
	l.replicating = l.network("replicating")
	return l
}

// network makes a private network without a way out, so that its name service
// asks nobody else. Its addresses are chosen here: an engine lets nobody have a
// fixed address on a network for which it chose them.
func (l *lab) network(name string) *dockertest.Network {
	l.Helper()
	making.RLock()
	defer making.RUnlock()
	for range 50 {
		subnet := fmt.Sprintf("10.%d.%d.0/24", 128+rand.IntN(128), rand.IntN(256))
		n, err := docker.CreateNetwork(l.id+"-"+name, func(o *dc.CreateNetworkOptions) {
			o.Internal, o.Labels = true, labels()
			o.IPAM = &dc.IPAMOptions{Driver: "default", Config: []dc.IPAMConfig{{Subnet: subnet}}}
		})
		if err != nil && strings.Contains(err.Error(), "overlaps") {
			continue
		}
		l.must(err)
		l.Cleanup(func() {
			if err := docker.RemoveNetwork(n); err != nil {
				l.Error(err)
			}
		})
		return n
	}
	l.Fatal("no free addresses for a network")
	return nil
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// await polls something that plusmoin does not tell, for at most a minute.
func (l *lab) await(what string, yes func() (bool, error)) {
	l.Helper()
	last := errors.New("not yet")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(300 * time.Millisecond) {
		ok, err := yes()
		if ok && err == nil {
			return
		}
		if err != nil {
			last = err
		}
	}
	l.Fatalf("within a minute: never %s: %v", what, last)
}
