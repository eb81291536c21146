package cluster_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plusmoin/cluster"
)

// TestHistories lets random servers live through random histories and has
// every round judged. At the end the servers are mended, and then everybody
// must be where he belongs and nothing more may be told.
//
// A longer run: go test ./cluster -run Histories -rapid.checks=10000
func TestHistories(t *testing.T) {
	setRapid(t)
	rapid.Check(t, func(t *rapid.T) {
		l := newLife(t)
		l.act("on")
		for range rapid.IntRange(1, 60).Draw(t, "acts") {
			l.step()
		}
		l.mend()
		l.mustBeSettled()
		l.mustSurviveRestart()
	})
}

// setRapid lets what fails be printed as a script, with a seed, and no file be
// written. RAPID_SEED makes a run repeatable; without it each run is another.
func setRapid(t *testing.T) {
	t.Helper()
	flags := map[string]string{"rapid.nofailfile": "true"}
	if seed := os.Getenv("RAPID_SEED"); seed != "" {
		flags["rapid.seed"] = seed
	}
	for name, value := range flags {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// life is a random history as it is lived.
type life struct {
	t       *rapid.T
	script  *script
	servers []string
	names   []string // configured at first, aliases included
	lines   []string // what was done, a script that can be replayed
}

// newLife makes a few clusters, some with aliases, cascades and claims of old.
func newLife(t *rapid.T) *life {
	l := &life{t: t, script: &script{}}
	var items []string
	for c := range rapid.IntRange(1, 3).Draw(t, "clusters") {
		items = append(items, l.newCluster(string(rune('a'+c)))...)
	}
	l.do("servers " + strings.Join(items, ", "))
	m := l.script.monitor
	if rapid.IntRange(0, 3).Draw(t, "slow rounds") == 0 {
		m.lookTakes, m.beatTakes = 50*time.Millisecond, 50*time.Millisecond
		l.script.history.slack = 250 * time.Millisecond
		l.lines = append(l.lines, "# looks and beats take 50ms each")
	}
	if rapid.Bool().Draw(t, "state file") {
		l.do("state on")
	}
	l.newLimits()
	for range rapid.IntRange(0, 3).Draw(t, "old rows") {
		l.oldRow()
	}
	return l
}

func (l *life) newCluster(letter string) []string {
	master := letter + "1"
	items := []string{master + " master"}
	l.servers, l.names = append(l.servers, master), append(l.names, master)
	for i := range rapid.IntRange(0, 3).Draw(l.t, "slaves") {
		name := fmt.Sprint(letter, i+2)
		what := "follows " + master
		switch rapid.IntRange(0, 9).Draw(l.t, "kind") {
		case 0:
			what = "copy of " + master
		case 1, 2:
			what = "follows " + l.servers[len(l.servers)-1]
		}
		items = append(items, name+" "+what)
		l.servers, l.names = append(l.servers, name), append(l.names, name)
	}
	if rapid.IntRange(0, 4).Draw(l.t, "alias") == 0 {
		items = append(items, letter+"v is "+master)
		l.names = append(l.names, letter+"v")
	}
	return items
}

func (l *life) newLimits() {
	beat := rapid.SampledFrom([]string{"1", "1", "1", "0.5", "3", "20"}).Draw(l.t, "heartbeat")
	most := rapid.IntRange(1, 12).Draw(l.t, "max")
	recovered := rapid.IntRange(0, most).Draw(l.t, "recover")
	fail := rapid.SampledFrom([]string{"0", "1", "1", "3"}).Draw(l.t, "fail")
	l.do(fmt.Sprintf("limits heartbeat=%s max=%d recover=%d fail=%s", beat, most, recovered, fail))
	if rapid.IntRange(0, 3).Draw(l.t, "own limit") == 0 {
		l.do(fmt.Sprintf("limit %s max=%d", l.server(), most+rapid.IntRange(0, 10).Draw(l.t, "more")))
	}
}

func (l *life) oldRow() {
	name := l.server()
	if sv, _ := l.script.world.server(name); sv.slave {
		return
	}
	l.do(fmt.Sprintf("write %s id=%d name=%s ago=%d", name, rapid.IntRange(-1, 3).Draw(l.t, "id"),
		l.server(), rapid.SampledFrom([]int{0, 3, 30, 3600, 1e9, -5}).Draw(l.t, "ago")))
}

func (l *life) server() string { return rapid.SampledFrom(l.servers).Draw(l.t, "server") }
func (l *life) name() string   { return rapid.SampledFrom(l.names).Draw(l.t, "name") }

// do carries out a line of script and fails on whatever the judges find.
func (l *life) do(line string) {
	l.lines = append(l.lines, line)
	out, err := l.script.block(line)
	if err != nil {
		l.t.Fatalf("%s: %v", line, err)
	}
	for said := range strings.Lines(out) {
		l.lines = append(l.lines, "# "+strings.TrimSpace(said))
	}
	if h := l.script.history; h != nil && len(h.faults) > 0 {
		l.t.Fatalf("%s\n\n%s", strings.Join(l.lines, "\n"), strings.Join(h.faults, "\n"))
	}
}

// act does what only makes sense while the monitor is on, or off.
func (l *life) act(line string) {
	switch m := l.script.monitor; line {
	case "on":
		if m.on {
			return
		}
	case "off", "reload", "wake":
		if !m.on {
			return
		}
	}
	l.do(line)
}

// step does one thing to the servers or to the monitor and lets time pass.
func (l *life) step() {
	switch rapid.IntRange(0, 9).Draw(l.t, "what") {
	case 0, 1, 2, 3:
		l.do(l.mishap())
	case 4:
		l.do("between look and beat: " + l.mishap())
	case 5:
		l.do(l.repair())
	case 6:
		l.failover()
	case 7:
		l.monitored()
	}
	if rapid.IntRange(0, 3).Draw(l.t, "at once") > 0 {
		l.do("run " + rapid.SampledFrom([]string{"0.3", "1", "1", "2", "3", "5", "10", "30", "300"}).Draw(l.t, "for"))
	}
}

// mishap is one line that can go wrong in the life of a server.
func (l *life) mishap() string {
	word := rapid.SampledFrom([]string{
		"kill", "kill", "freeze", "promote", "fence", "pause", "cut", "reinit", "backup", "hide", "coarse",
		"boot", "follow", "clone", "delay", "write", "miss", "connecting", "work", "drop", "blind", "refuse", "unanswered", "unreachable",
	}).Draw(l.t, "mishap")
	name := l.server()
	switch word {
	case "follow", "clone":
		return word + " " + name + " " + l.server()
	case "boot":
		return word + " " + name + " slowly " + fmt.Sprint(rapid.IntRange(1, 4).Draw(l.t, "slowly"))
	case "delay":
		return word + " " + name + " " + fmt.Sprint(rapid.IntRange(0, 8).Draw(l.t, "delay"))
	case "coarse", "work", "drop":
		return l.onMaster(word+" "+name, name)
	case "blind":
		if len(l.names) > len(l.servers) {
			return "hide " + name // nobody can tell an alias without facts
		}
	case "write":
		return l.onMaster(fmt.Sprintf("write %s id=%d name=%s ago=%d", name, rapid.IntRange(-1, 3).Draw(l.t, "id"),
			l.name(), rapid.SampledFrom([]int{0, 5, 100, -5, -1000}).Draw(l.t, "ago")), name)
	case "miss", "connecting", "refuse", "unanswered", "unreachable":
		return word + " " + l.name()
	}
	return word + " " + name
}

// onMaster keeps a slave's log free of what only a master can write.
func (l *life) onMaster(line, name string) string {
	if sv, _ := l.script.world.server(name); sv.slave {
		return "kill " + name
	}
	return line
}

// repair is one line that may bring a server back.
func (l *life) repair() string {
	word := rapid.SampledFrom([]string{
		"boot", "boot", "thaw", "unfence", "resume", "link", "reachable", "rebuild", "rebuild", "restore",
	}).Draw(l.t, "repair")
	name := l.server()
	sv, _ := l.script.world.server(name)
	switch {
	case word == "reachable":
		return word + " " + l.name()
	case word == "rebuild":
		return word + " " + name + " from " + l.server()
	case word == "restore" && sv.backup == nil:
		return "boot " + name
	}
	return word + " " + name
}

// failover promotes a server and lets others follow it, all between two
// rounds or with rounds in between.
func (l *life) failover() {
	old, next := l.server(), l.server()
	switch rapid.IntRange(0, 3).Draw(l.t, "the old one") {
	case 0, 1:
		l.do("kill " + old)
	case 2:
		l.do("fence " + old)
	}
	l.pause()
	l.do("promote " + next)
	l.pause()
	for range rapid.IntRange(0, 3).Draw(l.t, "followers") {
		follower := l.server()
		if follower == next || follower == old {
			continue
		}
		l.do("follow " + follower + " " + next)
	}
	switch rapid.IntRange(0, 3).Draw(l.t, "the old one later") {
	case 0:
		l.do("rebuild " + old + " from " + next)
	case 1:
		l.do("boot " + old)
	case 2:
		l.do("follow " + old + " " + next)
	}
}

func (l *life) pause() {
	if rapid.Bool().Draw(l.t, "rounds between") {
		l.do("run " + fmt.Sprint(rapid.IntRange(1, 4).Draw(l.t, "pause")))
	}
}

// monitored does something to the monitor.
func (l *life) monitored() {
	switch word := rapid.SampledFrom([]string{
		"off", "on", "restart", "wake", "suspend", "hibernate", "clock", "limits", "nodes", "point",
	}).Draw(l.t, "monitored"); word {
	case "restart":
		l.act("off")
		l.do("run 2")
		l.act("on")
	case "suspend", "hibernate":
		l.act("on")
		l.do("run 0.1")
		l.do(word + " " + fmt.Sprint(rapid.IntRange(1, 100).Draw(l.t, "asleep")))
	case "clock":
		l.do("clock " + fmt.Sprint(rapid.SampledFrom([]int{3600, 5, -5, -7200}).Draw(l.t, "step")))
	case "limits":
		l.newLimits()
		l.act("reload")
	case "nodes":
		l.do("nodes " + strings.Join(l.someNodes(), " "))
		l.act("reload")
	case "point":
		if v := l.names[len(l.names)-1]; strings.HasSuffix(v, "v") {
			l.do("point " + v + " " + l.server())
		}
	default:
		l.act(word)
	}
}

// someNodes is the configured list, turned and perhaps without one.
func (l *life) someNodes() []string {
	turn := rapid.IntRange(0, len(l.names)-1).Draw(l.t, "turn")
	nodes := append(append([]string{}, l.names[turn:]...), l.names[:turn]...)
	if len(nodes) > 1 && rapid.Bool().Draw(l.t, "drop") {
		nodes = nodes[1:]
	}
	return nodes
}

// mend repairs every server and waits until all is quiet.
func (l *life) mend() {
	m := l.script.monitor
	m.hooks = nil
	clear(m.missed)
	clear(m.verdict)
	l.lines = append(l.lines, "# all is mended from here on, and no probe or beat fails any more")
	all := strings.Join(l.servers, " ")
	names := strings.Join(l.names, " ")
	for _, s := range l.script.world.servers {
		if s.state == down || s.state == starting {
			l.do("boot " + s.name)
		}
		l.do("delay " + s.name + " 0")
	}
	for _, word := range []string{"thaw", "unfence", "resume", "link"} {
		l.do(word + " " + all)
	}
	l.do("reachable " + names)
	l.act("on")
	l.do("nodes " + names)
	l.do("limits heartbeat=1 max=10 recover=5 fail=1")
	m.own = map[string]limits{}
	l.do("reload")
	l.do("run 60")
}

// mustBeSettled wants nothing told any more and everybody where he belongs.
func (l *life) mustBeSettled() {
	told := len(l.lines)
	l.do("run 15")
	if last := l.lines[len(l.lines)-1]; last != "# nothing told" {
		l.t.Fatalf("%s\n\ntold after all was well:\n%s", strings.Join(l.lines, "\n"), strings.Join(l.lines[told:], "\n"))
	}
	at := spots(l.script.monitor.state.Snapshot())
	for _, name := range l.names {
		if fault := l.misplaced(at, name); fault != "" {
			l.do("show")
			l.t.Fatalf("%s\n\n%s is %v: %s", strings.Join(l.lines, "\n"), name, at[node(name)], fault)
		}
	}
}

// mustSurviveRestart wants a restart to change no place and no id where every
// cluster has its master and nobody is lost or alone.
func (l *life) mustSurviveRestart() {
	whole := l.script.monitor.state.Snapshot()
	for _, c := range whole.Clusters {
		if c.Master == nil || len(c.Lost) > 0 {
			return
		}
	}
	for _, e := range whole.Clusterless {
		if e.IsSlave {
			return
		}
	}
	before := spots(whole)
	l.do("off")
	l.do("run 2")
	l.do("on")
	l.do("run 15")
	if after := spots(l.script.monitor.state.Snapshot()); !maps.Equal(before, after) {
		l.t.Fatalf("%s\n\na restart changed %v\ninto %v", strings.Join(l.lines, "\n"), before, after)
	}
}

// misplaced says what is wrong with the place of a node whose server is well.
func (l *life) misplaced(at map[cluster.Node]spot, name string) string {
	w := l.script.world
	s := w.names[name]
	here := at[node(name)]
	if !s.slave {
		for other, sv := range w.names {
			if sv == s && at[node(other)].place == cluster.Master {
				return ""
			}
		}
		return "its server is a writable master"
	}
	root := s
	for range w.servers {
		if root.slave && root.running {
			root = w.names[root.upstream]
		}
	}
	if root.slave {
		return ""
	}
	for other, sv := range w.names {
		if sv == root && at[node(other)] == (spot{here.cluster, cluster.Master}) && here.place == cluster.Slave {
			return ""
		}
	}
	return "its server streams from " + root.name
}
