package cluster_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"plusmoin/cluster"
)

// onServers are the commands that take a list of servers.
var onServers = map[string]func(*world, *server){
	"kill":    (*world).kill,
	"freeze":  (*world).freeze,
	"thaw":    (*world).thaw,
	"promote": (*world).promote,
	"reinit":  (*world).initdb,
	"fence":   func(_ *world, s *server) { s.readOnly = true },
	"unfence": func(_ *world, s *server) { s.readOnly = false },
	"pause":   func(_ *world, s *server) { s.paused = true },
	"resume":  func(w *world, s *server) { s.paused = false; w.stream() },
	"cut":     func(w *world, s *server) { s.cut = true; w.stream() },
	"part":    func(w *world, s *server) { s.parted = true; w.stream() },
	"link":    func(w *world, s *server) { s.cut, s.parted = false, false; w.stream() },
	"admit":   func(_ *world, s *server) { s.barred = "" },
	"hide":    func(_ *world, s *server) { s.hidden = true },
	"blind":   func(_ *world, s *server) { s.blind = true },
	"coarse":  func(w *world, s *server) { s.write(w.now, func(e *entry) { e.coarse = true }); w.stream() },
	"backup":  func(_ *world, s *server) { s.backup = s.applied },
	"restore": (*world).restore,
	"work":    func(w *world, s *server) { s.write(w.now, func(*entry) {}); w.stream() },
	"drop":    func(w *world, s *server) { s.write(w.now, func(e *entry) { e.row = nil }); w.stream() },
}

// restore starts s from its backup as a slave that follows nobody.
func (w *world) restore(s *server) {
	s.head, s.applied = s.backup, s.backup
	s.slave, s.upstream = true, ""
	w.boot(s, 0)
}

// onNames are the commands that take a list of configured names.
var onNames = map[string]func(*script, string){
	"miss":        func(s *script, name string) { s.monitor.missed[name] = failed(cluster.ReasonTimeout) },
	"connecting":  func(s *script, name string) { s.monitor.missed[name] = cluster.Sighting{} },
	"unanswered":  func(s *script, name string) { s.monitor.verdict[name] = cluster.Unknown },
	"unreachable": func(s *script, name string) { s.world.deaf[name] = true },
	"reachable":   func(s *script, name string) { delete(s.world.deaf, name) },
}

// settings are the commands with arguments of their own.
var settings = map[string]func(*script, []string) error{
	"on":  func(s *script, _ []string) error { return s.monitor.start() },
	"off": func(s *script, _ []string) error { s.monitor.stop(); return nil },
	"wake": func(s *script, _ []string) error {
		s.monitor.run(10 * time.Millisecond)
		s.monitor.round(false)
		return nil
	},
	"reload": func(s *script, _ []string) error { s.monitor.reload(); return nil },
	"show":   func(s *script, _ []string) error { s.show(); return nil },
	"lag":    (*script).lag,
	"nodes":  func(s *script, args []string) error { s.monitor.nodes = args; return nil },
	"heartbeats": func(s *script, _ []string) error {
		s.heartbeats = true
		return nil
	},
	"run":       lasting(func(s *script, d time.Duration) { s.monitor.run(d) }),
	"suspend":   lasting(func(s *script, d time.Duration) { s.monitor.suspend(d, false) }),
	"hibernate": lasting(func(s *script, d time.Duration) { s.monitor.suspend(d, true) }),
	"clock":     lasting(func(s *script, d time.Duration) { s.monitor.step += d }),
	"takes":     (*script).takes,
	"state":     (*script).keepState,
	"refuse":    (*script).refuse,
	"boot":      (*script).boot,
	"follow":    (*script).follow,
	"rebuild":   (*script).rebuild,
	"clone":     (*script).clone,
	"point":     (*script).point,
	"pose":      (*script).pose,
	"label":     (*script).label,
	"delay":     (*script).delay,
	"write":     (*script).write,
	"writer":    (*script).writer,
	"limits":    (*script).setLimits,
	"limit":     (*script).setLimit,
}

// lasting is a command with one duration.
func lasting(do func(*script, time.Duration)) func(*script, []string) error {
	return func(s *script, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("wants one duration")
		}
		d, err := duration(args[0])
		if err != nil {
			return err
		}
		do(s, d)
		return nil
	}
}

// takes reads "look=2s beat=3s": how long the parts of every round last, until
// said otherwise.
func (s *script) takes(args []string) error {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		d, err := duration(value)
		switch {
		case err != nil:
			return err
		case key == "look":
			s.monitor.lookTakes = d
		case key == "beat":
			s.monitor.beatTakes = d
		default:
			return fmt.Errorf("what is %q?", arg)
		}
	}
	return nil
}

// keepState reads "on": from then on a stopped monitor's state is kept for the
// next. "off" takes the file away.
func (s *script) keepState(args []string) error {
	switch {
	case slices.Equal(args, []string{"on"}):
		s.monitor.keeps = true
		if s.monitor.on && !s.monitor.state.Snapshot().Starting {
			s.monitor.saved = s.monitor.state.Save()
		}
	case slices.Equal(args, []string{"off"}):
		s.monitor.keeps, s.monitor.saved = false, nil
	default:
		return fmt.Errorf("wants on or off")
	}
	return nil
}

// barring are the words a server may have for answering no look.
var barring = []cluster.Reason{
	cluster.ReasonAuth, cluster.ReasonTooMany, cluster.ReasonTLS, cluster.ReasonMisconfigured,
	cluster.ReasonStartingUp, cluster.ReasonShuttingDown, cluster.ReasonNotAccepting,
	cluster.ReasonUnwritable, cluster.ReasonBadAnswer, cluster.ReasonResources,
}

// refuse reads "m1 s1", whose next beats are refused, or "m1 auth": the server
// answers and lets the monitor not in, until it is admitted.
func (s *script) refuse(args []string) error {
	if n := len(args); n == 2 && slices.Contains(barring, cluster.Reason(args[1])) {
		return s.each(args[:1], func(_ *world, sv *server) { sv.barred = cluster.Reason(args[1]) })
	}
	for _, name := range args {
		if s.world.names[name] == nil {
			return fmt.Errorf("no server and no reason %q", name)
		}
		s.monitor.verdict[name] = cluster.Refused
	}
	return nil
}

// duration reads 90s, 1h, -10ms, or seconds.
func duration(text string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(f * float64(time.Second)), nil
	}
	return time.ParseDuration(text)
}

// boot reads "m1 s1" or "m1 slowly 3s".
func (s *script) boot(args []string) error {
	var slowly time.Duration
	if n := len(args); n == 3 && args[1] == "slowly" {
		d, err := duration(args[2])
		if err != nil {
			return err
		}
		slowly, args = d, args[:1]
	}
	return s.each(args, func(w *world, sv *server) { w.boot(sv, slowly) })
}

// two finds the servers of "a from b", "a b" and the like.
func (s *script) two(args []string) (first, last *server, err error) {
	if len(args) < 2 {
		return nil, nil, fmt.Errorf("wants two servers")
	}
	if first, err = s.world.server(args[0]); err != nil {
		return nil, nil, err
	}
	last, err = s.world.server(args[len(args)-1])
	return first, last, err
}

func (s *script) follow(args []string) error {
	a, b, err := s.two(args)
	if err == nil {
		s.world.follow(a, b.name)
	}
	return err
}

func (s *script) rebuild(args []string) error {
	a, b, err := s.two(args)
	if err == nil {
		s.world.rebuild(a, b)
	}
	return err
}

func (s *script) clone(args []string) error {
	a, b, err := s.two(args)
	if err == nil {
		a.slave, a.upstream = false, ""
		s.world.clone(a, b)
	}
	return err
}

// pose lets a server say that it is another one: "x as m1".
func (s *script) pose(args []string) error {
	a, b, err := s.two(args)
	if err == nil {
		a.poses = b
	}
	return err
}

// label gives nodes a cluster_name: "m1 s1 production". It holds from the next on
// or reload.
func (s *script) label(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("wants nodes and a label")
	}
	for _, name := range args[:len(args)-1] {
		s.monitor.labels[name] = args[len(args)-1]
	}
	return nil
}

// point lets a name, "vip", mean a server, "s1", from now on.
func (s *script) point(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("wants a name and a server")
	}
	sv, err := s.world.server(args[1])
	if err == nil {
		s.world.names[args[0]] = sv
	}
	return err
}

func (s *script) delay(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("wants a server and a duration")
	}
	d, err := duration(args[1])
	if err != nil {
		return err
	}
	return s.each(args[:1], func(_ *world, sv *server) { sv.delay = d })
}

// write puts "m1 id=7 name=m1 ago=20s" into the heartbeat table of m1. A
// negative ago is the future.
func (s *script) write(args []string) error {
	sv, row, ago, _, err := s.foreign(args)
	if err != nil {
		return err
	}
	if row.Stamp == 0 {
		row.Stamp = s.world.stamp().Add(-ago)
	}
	sv.writeRow(s.world.now, row)
	s.world.stream()
	return nil
}

// writer writes "m1 id=7 name=m1 every=0.5s" from now on.
func (s *script) writer(args []string) error {
	sv, row, _, every, err := s.foreign(args)
	if err != nil {
		return err
	}
	w := &writer{server: sv, row: row, every: every, next: s.world.now + every}
	s.world.writers = append(s.world.writers, w)
	return nil
}

func (s *script) foreign(args []string) (sv *server, row cluster.Row, ago, every time.Duration, err error) {
	if len(args) == 0 {
		return nil, row, 0, 0, fmt.Errorf("wants a server")
	}
	if sv, err = s.world.server(args[0]); err != nil {
		return nil, row, 0, 0, err
	}
	row.Cluster, row.Master = cluster.NoCluster, node(args[0]).String()
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "id":
			row.Cluster, err = strconv.Atoi(value)
		case "name":
			row.Master = node(value).String()
		case "ago":
			ago, err = duration(value)
		case "seconds": // tstamp as it is written, right or wrong
			var tstamp int64
			tstamp, err = strconv.ParseInt(value, 10, 64)
			row.Stamp = cluster.StampOf(tstamp, 0)
		case "every":
			every, err = duration(value)
		default:
			err = fmt.Errorf("what is %q?", arg)
		}
		if err != nil {
			return nil, row, 0, 0, err
		}
	}
	return sv, row, ago, every, nil
}

// setLimits reads "heartbeat=1 max=5 recover=2 fail=1". It holds from the
// next on or reload.
func (s *script) setLimits(args []string) error {
	return parseLimits(&s.monitor.limits, args)
}

// setLimit reads "d max=16", with or without recover.
func (s *script) setLimit(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("wants a node and its limits")
	}
	all := s.monitor.limits
	own := limits{recover: -1}
	if err := parseLimits(&own, args[1:]); err != nil {
		return err
	}
	if own.recover < 0 {
		own.recover = max(0, own.max-(all.max-all.recover))
	}
	s.monitor.own[args[0]] = own
	return nil
}

func parseLimits(l *limits, args []string) error {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		d, err := duration(value)
		if err != nil {
			return err
		}
		switch key {
		case "heartbeat":
			l.heartbeat = d
		case "max":
			l.max = d
		case "recover":
			l.recover = d
		case "fail":
			l.fail = d
		default:
			return fmt.Errorf("what is %q?", arg)
		}
	}
	return nil
}
