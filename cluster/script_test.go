package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"plusmoin/cluster"
)

// TestScripts runs the stories in testdata. A block is one or more commands,
// one a line, a line of four dashes, and what they print: every event with the
// seconds since the story began, its cluster and its node. "nothing told" is
// printed where rounds passed and nothing happened. plusmoin_heartbeat is only
// printed after the command heartbeats. The command servers begins a new story.
//
// README.txt beside the scripts explains the commands. With -rewrite the
// expected output is written anew.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") || strings.HasSuffix(path, "README.txt") {
			return
		}
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.block(d.FullCmd() + "\n" + d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			if s.history != nil {
				for _, fault := range s.history.faults {
					t.Errorf("%s: %s", d.Pos, fault)
				}
				s.history.faults = nil
			}
			return out
		})
	})
}

// script is one story while it is told.
type script struct {
	world      *world
	monitor    *monitor
	history    *history
	out        strings.Builder
	ran        bool // a round passed in this block
	heartbeats bool
}

func (s *script) block(lines string) (string, error) {
	s.out.Reset()
	s.ran = false
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.do(line); err != nil {
			return "", fmt.Errorf("%s: %w", line, err)
		}
	}
	if s.ran && s.out.Len() == 0 {
		return "nothing told\n", nil
	}
	return s.out.String(), nil
}

// do carries out one line.
func (s *script) do(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	if word == "servers" {
		return s.servers(rest)
	}
	if s.world == nil {
		return errors.New("a story begins with servers")
	}
	if later, ok := strings.CutPrefix(line, "between look and beat:"); ok {
		return s.later(later)
	}
	args := strings.Fields(rest)
	if c, ok := settings[word]; ok {
		return c(s, args)
	}
	if c, ok := onServers[word]; ok {
		return s.each(args, c)
	}
	if c, ok := onNames[word]; ok {
		for _, name := range args {
			c(s, name)
		}
		return nil
	}
	return errors.New("no such command")
}

// later keeps commands, separated by semicolons, for the middle of the next
// round.
func (s *script) later(lines string) error {
	for line := range strings.SplitSeq(lines, ";") {
		line = strings.TrimSpace(line)
		s.monitor.hooks = append(s.monitor.hooks, func() {
			if err := s.do(line); err != nil {
				panic(line + ": " + err.Error())
			}
		})
	}
	return nil
}

func (s *script) each(names []string, do func(*world, *server)) error {
	for _, name := range names {
		sv, err := s.world.server(name)
		if err != nil {
			return err
		}
		do(s.world, sv)
	}
	return nil
}

// servers begins a story: "m1 master, s1 follows m1, c copy of m1, vip is m1".
func (s *script) servers(list string) error {
	s.world = newWorld()
	s.monitor = newMonitor(s.world)
	s.monitor.told = s.tell
	s.history = newHistory()
	s.monitor.watched = s.history.watch
	s.heartbeats = false
	for item := range strings.SplitSeq(list, ",") {
		words := strings.Fields(item)
		if len(words) < 2 {
			return fmt.Errorf("%q says not what the server is", item)
		}
		if err := s.server(words[0], words[1], words[len(words)-1]); err != nil {
			return err
		}
		s.monitor.nodes = append(s.monitor.nodes, words[0])
	}
	return nil
}

func (s *script) server(name, what, other string) error {
	switch what {
	case "master":
		s.world.add(name)
		return nil
	case "follows", "copy", "is":
		from, err := s.world.server(other)
		if err != nil {
			return err
		}
		switch what {
		case "follows":
			s.world.rebuild(s.world.add(name), from)
		case "copy":
			s.world.clone(s.world.add(name), from)
		case "is":
			s.world.names[name] = from
		}
		return nil
	}
	return fmt.Errorf("%q is no kind of server", what)
}

func (s *script) tell(at time.Duration, events []cluster.Event) {
	s.ran = true
	for _, e := range events {
		if e.Kind == cluster.PlusmoinHeartbeat && !s.heartbeats {
			continue
		}
		fmt.Fprintf(&s.out, "%ss %s %d", seconds(at), e.Kind, e.Cluster)
		if e.Node != nil {
			fmt.Fprintf(&s.out, " %s", shownName(*e.Node))
		}
		if e.Kind == cluster.MasterUp && e.OldMaster != nil {
			fmt.Fprintf(&s.out, ", was %s", shownName(*e.OldMaster))
		}
		s.out.WriteByte('\n')
	}
}

func shownName(e cluster.Entry) string { return nameOf(cluster.Node{Host: e.Host, Port: e.Port}) }

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// show prints the clusters and where every node stands.
func (s *script) show() {
	snap := s.monitor.state.Snapshot()
	if snap.Starting {
		s.out.WriteString("starting\n")
	}
	for _, c := range snap.Clusters {
		fmt.Fprintf(&s.out, "%d %s: ", c.ID, c.Diagnosis)
		var words []string
		if c.Master != nil {
			words = append(words, shown(snap, *c.Master))
		}
		for _, e := range slices.Concat(c.Slaves, c.Lost) {
			words = append(words, shown(snap, e))
		}
		s.out.WriteString(strings.Join(words, ", ") + "\n")
	}
	for _, e := range snap.Clusterless {
		s.out.WriteString(shown(snap, e) + "\n")
	}
	for _, w := range snap.Warnings {
		fmt.Fprintf(&s.out, "warning %s %d %s\n", w.Kind, w.Cluster, strings.TrimSuffix(w.Node, ":5432"))
	}
}

func shown(snap cluster.Snapshot, e cluster.Entry) string {
	name := shownName(e)
	d := snap.Nodes[node(name).String()]
	text := name + " " + string(d.State)
	if d.Suspect {
		text += " suspect"
	}
	if d.Reason != nil {
		text += " (" + string(*d.Reason) + ")"
	}
	return text
}

// lag prints the lag of nodes in seconds, or "not known".
func (s *script) lag(names []string) error {
	snap := s.monitor.state.Snapshot()
	for _, name := range names {
		d, ok := snap.Nodes[node(name).String()]
		switch {
		case !ok:
			return fmt.Errorf("no node %s", name)
		case d.Lag == nil:
			fmt.Fprintf(&s.out, "lag of %s not known\n", name)
		default:
			fmt.Fprintf(&s.out, "lag of %s %ss\n", name, strconv.FormatFloat(*d.Lag, 'f', -1, 64))
		}
	}
	return nil
}
