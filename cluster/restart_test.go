package cluster_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"plusmoin/cluster"
)

// TestRestarts restarts the monitor twice at the end of random histories, with
// nothing mended, once nothing is told any more. Whatever is broken then, the
// second restart must leave everything where the first did; with a state file the
// first must do so as well.
//
// A longer run: go test ./cluster -run Restarts -rapid.checks=10000
func TestRestarts(t *testing.T) {
	setRapid(t)
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		l.act("on")
		for range rapid.IntRange(1, 40).Draw(t, "acts") {
			l.step()
		}
		if !l.comeToRest() {
			return
		}
		before := l.picture()
		l.restart()
		once := l.picture()
		if !l.claimedByOthers() {
			if l.script.monitor.keeps {
				l.mustBeEqual("the restart", before, once)
			}
			l.mustKeepIDs(before, once)
		}
		l.restart()
		l.mustBeEqual("the second restart", once, l.picture())
	})
}

// comeToRest waits until nothing is told any more, and reports whether that came.
// No probe fails by chance from here on, and nobody else writes.
func (l *life) comeToRest() bool {
	m := l.script.monitor
	m.hooks = nil
	clear(m.missed)
	clear(m.verdict)
	l.lines = append(l.lines, "# no probe or beat fails by chance from here on")
	l.act("on")
	l.act("reload")
	for range 20 {
		l.do("run 60")
		if l.lines[len(l.lines)-1] == "# nothing told" && !m.state.Snapshot().Starting {
			return true
		}
	}
	return false
}

// restart restarts the monitor and lets it settle. Nothing but plusmoin_up may be
// told, except that without a state file a slave may have to be proven again.
func (l *life) restart() {
	m := l.script.monitor
	l.do("off")
	l.do("run 2")
	from := len(l.lines)
	l.do("on")
	l.do("run 60")
	for _, line := range l.lines[from:] {
		word := strings.Fields(strings.TrimPrefix(line, "# "))
		if !strings.HasPrefix(line, "# ") || word[1] == "told" || word[1] == "plusmoin_up" {
			continue
		}
		if word[1] == "slave_up" && !m.keeps {
			continue
		}
		l.t.Fatalf("%s\n\na restart told %s", strings.Join(l.lines, "\n"), line)
	}
}

func (l *life) picture() cluster.Snapshot {
	l.do("show")
	return l.script.monitor.state.Snapshot()
}

func (l *life) mustBeEqual(what string, before, after cluster.Snapshot) {
	if a, b := spots(before), spots(after); !maps.Equal(a, b) {
		l.t.Fatalf("%s\n\n%s changed %v\ninto %v", strings.Join(l.lines, "\n"), what, a, b)
	}
}

// claimedByOthers reports whether somebody else wrote a row from the future: that is
// the newest claim on its id then, right or wrong.
func (l *life) claimedByOthers() bool {
	return slices.ContainsFunc(l.lines, func(line string) bool {
		return strings.Contains(line, "write ") && strings.Contains(line, "ago=-")
	})
}

// mustKeepIDs wants no master to have another id than before.
func (l *life) mustKeepIDs(before, after cluster.Snapshot) {
	for _, c := range before.Clusters {
		if c.Master == nil {
			continue
		}
		n := cluster.Node{Host: c.Master.Host, Port: c.Master.Port}
		if now := placeOf(after, n); now.place == cluster.Master && now.cluster != c.ID {
			l.t.Fatalf("%s\n\nthe restart renumbered %d: %v is master of %d", strings.Join(l.lines, "\n"), c.ID, n, now.cluster)
		}
	}
}
