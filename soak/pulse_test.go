//go:build linux

package soak

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

// longestPause is how long the status file may stay as it is.
const longestPause = 3 * time.Second

// pulse reads the status file after every round and checks what must be true of
// each.
type pulse struct {
	path  string
	clock *wallClock
	quit  chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	err     error // the first
	resting bool  // plusmoin does not run, or is not meant to
	doc     status.Document
	at      time.Time     // when doc was read
	ahead   time.Duration // of the machine's clock that plusmoin's was
	rounds  uint64
	longest time.Duration // between two rounds
	nodes   [][]string    // the lists of nodes that may be configured now
}

func startPulse(path string, clock *wallClock) *pulse {
	p := &pulse{path: path, clock: clock, resting: true, quit: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *pulse) stop() {
	close(p.quit)
	<-p.done
}

func (p *pulse) run() {
	defer close(p.done)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	var known os.FileInfo
	last := time.Now()
	for {
		select {
		case <-p.quit:
			return
		case <-ticker.C:
		}
		stalled := time.Since(last) // this program was held up
		last = time.Now()
		info, err := os.Stat(p.path)
		if err == nil && (known == nil || !os.SameFile(known, info) || !known.ModTime().Equal(info.ModTime())) {
			known = info
			p.read(info.ModTime())
		}
		p.checkPause(stalled)
	}
}

// read reads a file that was written at a time. What stands in it may be newer.
func (p *pulse) read(written time.Time) {
	doc, err := status.Read(p.path)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.fail(err)
		return
	}
	p.ahead = doc.UpdatedAt.Sub(written)
	doc.UpdatedAt = p.clock.right(doc.UpdatedAt, written)
	if !p.resting && doc.Round.Number > 1 {
		p.longest = max(p.longest, time.Since(p.at))
	}
	if doc.Round.Number == p.doc.Round.Number+1 {
		p.rounds++
	}
	if !p.resting && doc.UpdatedAt.Before(p.doc.UpdatedAt) {
		p.fail(fmt.Errorf("updated_at goes back from %v to %v", p.doc.UpdatedAt, doc.UpdatedAt))
	}
	p.doc, p.at = doc, time.Now()
	if err := p.checkPlaces(doc); err != nil {
		p.fail(fmt.Errorf("round %d: %w", doc.Round.Number, err))
	}
}

func (p *pulse) fail(err error) {
	if p.err == nil {
		p.err = fmt.Errorf("status file: %w", err)
	}
}

func (p *pulse) checkPause(stalled time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pause := time.Since(p.at) - stalled; !p.resting && pause > longestPause {
		p.fail(fmt.Errorf("no round for %v", pause))
	}
}

// rest is told that no rounds are to be expected until wake.
func (p *pulse) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting = true
}

func (p *pulse) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting, p.at = false, time.Now()
}

// configured says which lists of nodes are in force, or will be in a moment.
func (p *pulse) configured(lists ...[]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = lists
}

// now returns the last document and the first thing found wrong.
func (p *pulse) now() (status.Document, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doc, p.err
}

// off is by how much plusmoin's clock was off when it wrote the file.
func (p *pulse) off() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ahead
}

func (p *pulse) figures() (rounds uint64, longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rounds, p.longest
}

// checkPlaces checks that every configured node is in exactly one place, which
// is the one that its details give, and that ids are in order.
func (p *pulse) checkPlaces(d status.Document) error {
	places := map[string]cluster.Place{}
	enter := func(place cluster.Place, list ...cluster.Entry) error {
		for _, n := range list {
			if before, twice := places[nameOf(n)]; twice {
				return fmt.Errorf("%s is %s and %s", nameOf(n), before, place)
			}
			places[nameOf(n)] = place
			if got := d.Nodes[nameOf(n)].State; got != place {
				return fmt.Errorf("%s stands as %s, its details say %q", nameOf(n), place, got)
			}
		}
		return nil
	}
	for i, c := range d.Clusters {
		if i > 0 && d.Clusters[i-1].ID >= c.ID || c.HasMaster != (c.Master != nil) {
			return fmt.Errorf("cluster %d is out of order, or not of one mind about its master", c.ID)
		}
		for _, n := range slices.Concat(c.Slaves, c.Lost) {
			if n.ClusterID != c.ID {
				return fmt.Errorf("%s in cluster %d says %d", nameOf(n), c.ID, n.ClusterID)
			}
		}
		if c.Master != nil {
			if err := enter(cluster.Master, *c.Master); err != nil {
				return err
			}
		}
		if err := enter(cluster.Slave, c.Slaves...); err != nil {
			return err
		}
		if err := enter(cluster.Lost, c.Lost...); err != nil {
			return err
		}
	}
	if err := enter(cluster.Clusterless, d.Clusterless...); err != nil {
		return err
	}
	return p.checkNames(places, len(d.Nodes))
}

func (p *pulse) checkNames(places map[string]cluster.Place, details int) error {
	if details != len(places) {
		return fmt.Errorf("%d nodes have places, %d have details", len(places), details)
	}
	for _, list := range p.nodes {
		missing := slices.ContainsFunc(list, func(name string) bool { return places[name] == "" })
		if len(list) == len(places) && !missing {
			return nil
		}
	}
	return fmt.Errorf("the nodes are not those configured: %v", places)
}
