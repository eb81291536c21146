//go:build functional

package functional

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"

	"plusmoin/cluster"
	"plusmoin/status"
)

// An engine or an orchestrator replaces containers: what has the name of an old
// one has another address, and what was not on a volume is gone.
func TestContainerRecreatedUnderTheSameNameWithAnotherAddress(t *testing.T) {
	others(t, func(l *lab) {
		m := l.mounted("m", []string{"master"}, l.volume("data")+":/var/lib/postgresql")
		s1, s2 := l.slave("s1", m), l.slave("s2", m)
		s1.untilStreaming(m)
		s2.untilStreaming(m)
		w := l.watch(conf{"max_sync_delay": 10}, m, s1, s2)
		w.Expect("plusmoin_up 0")
		w.Shows("0: m > s1 s2")

		s1.dispose()
		w.Expect("slave_down 0 s1")
		w.Shows("0: m > s2 (s1)")
		s1.recreate()
		w.Expect("slave_up 0 s1")
		w.Shows("0: m > s1 s2")

		s1.giveUpSoon()
		s2.giveUpSoon()
		before := m.sql("SELECT system_identifier FROM pg_control_system()")
		m.dispose()
		w.Expect("master_down 0 m")
		w.UntilDiagnosis(0, cluster.DeadMaster)
		w.Shows("0: > s1 s2 (m)")
		m.recreate()
		w.Expect("master_up 0 m")
		w.Shows("0: m > s1 s2")
		if after := m.sql("SELECT system_identifier FROM pg_control_system()"); after != before {
			l.Errorf("m is server %s, was %s; the story has proved nothing", after, before)
		}
		s1.untilStreaming(m)
		s2.untilStreaming(m)
		w.UntilDiagnosis(0, cluster.OK)
		w.Quiet(6)
		w.end()
	})
}

// A slave of one cluster is made one of another, and the other way round. The ids
// stay. One returns so swiftly that it is never down.
func TestTwoClustersSwapASlave(t *testing.T) {
	others(t, func(l *lab) {
		as, bs := l.cast("a", "a1", "a2"), l.cast("b", "b1", "b2")
		a, a2, b, b2 := as[0], as[2], bs[0], bs[2]
		w := l.watch(conf{"max_sync_delay": 10}, append(as, bs...)...)
		w.Expect("plusmoin_up 0", "plusmoin_up 1")
		w.Shows("0: a > a1 a2; 1: b > b1 b2")

		a2.exec("node", "rebuild", b.replica())
		a2.stop(10)
		w.Expect("slave_down 0 a2")
		a2.start()
		w.Expect("node_left 0 a2", "node_joined 1 a2", "slave_up 1 a2")
		w.Shows("0: a > a1; 1: b > a2 b1 b2")
		b2.exec("node", "rebuild", a.replica())
		b2.stop(10)
		w.Expect("slave_down 1 b2")
		b2.start()
		w.Expect("node_left 1 b2", "node_joined 0 b2", "slave_up 0 b2")
		w.Shows("0: a > a1 b2; 1: b > a2 b1")
		w.UntilDiagnosis(0, cluster.OK)
		w.UntilDiagnosis(1, cluster.OK)

		w.configure(l, conf{"fail_interval": 60}) // longer than a rebuild takes
		w.reloaded()
		a2.rebuild(a)
		w.Expect("node_left 1 a2", "node_joined 0 a2")
		w.Shows("0: a > a1 b2 (a2); 1: b > b1")
		w.configure(l, conf{"fail_interval": 2}) // for so long it has to answer
		w.reloaded()
		w.Expect("slave_up 0 a2")
		w.Shows("0: a > a1 a2 b2; 1: b > b1")
		w.Quiet(4)
		w.end()
	})
}

// Nodes come and go by editing the file and a hangup. A file that is broken, as
// by an editor that died, changes nothing and is shown.
func TestReloadOfTheNodeList(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1", "s2")
		m, s1, s2 := nodes[0], nodes[1], nodes[2]
		w := l.watch(conf{"max_sync_delay": 10}, m, s1, s2)
		w.Expect("plusmoin_up 0")

		w.configure(l, nil, m, s2)
		w.reloaded()
		w.Expect("node_left 0 s1")
		w.Shows("0: m > s2")
		s1.stop(10) // nobody watches it
		w.Quiet(8)
		s1.start()
		s1.untilStreaming(m)
		w.configure(l, nil, m, s1, s2)
		w.reloaded()
		w.Expect("node_joined 0 s1", "slave_up 0 s1")
		w.Shows("0: m > s1 s2")

		loaded := w.Status().Config.LoadedAt
		for _, broken := range []struct{ text, names string }{
			{`{"dbname": "plusmoin", "nodes": [{"host": "m"`, "line 1"},
			{`{"dbname": "plusmoin", "user": "plusmoin", "nodes": [{"hots": "m"}]}`, "hots"},
		} {
			w.replace(broken.text)
			w.reload()
			w.Until("the error "+broken.names, func(d status.Document) bool {
				return d.Config.Error != nil && strings.Contains(*d.Config.Error, broken.names)
			})
		}
		w.Quiet(4)
		if at := w.Status().Config.LoadedAt; !at.Equal(loaded) {
			l.Errorf("loaded_at is %v, want that of the configuration in force, %v", at, loaded)
		}
		s2.stop(10)
		w.Expect("slave_down 0 s2")
		s2.start()
		w.Expect("slave_up 0 s2")

		w.configure(l, nil, m, s1)
		w.reloaded()
		w.Expect("node_left 0 s2")
		w.Shows("0: m > s1")
		w.Quiet(4)
		w.end()
	})
}

// An ordinary commit waits for as long as the synchronous standby is gone.
// plusmoin does not, and tells only what is true.
func TestSynchronousStandbyGone(t *testing.T) {
	core(t, func(l *lab) {
		m := l.master("m", "synchronous_standby_names = 's1'")
		s1, s2 := l.slave("s1", m), l.slave("s2", m)
		s1.untilStreaming(m)
		s2.untilStreaming(m)
		w := l.watch(conf{"max_sync_delay": 10}, m, s1, s2)
		w.Expect("plusmoin_up 0")
		blocked := func(want cluster.Flag) func(status.Document) bool {
			return func(d status.Document) bool { return d.Nodes[w.Address("m")].SyncBlocked == want }
		}
		w.Until("sync_blocked false", blocked(cluster.No))
		m.sql("CREATE TABLE before()")

		s1.kill()
		w.Expect("slave_down 0 s1")
		w.Until("sync_blocked", blocked(cluster.Yes))
		commit := []string{"timeout", "3", "psql", "-X", "-c", "CREATE TABLE meanwhile()"}
		if _, err := m.try(commit...); err == nil || !strings.Contains(err.Error(), "exit code 124") {
			l.Fatalf("an ordinary commit on m: %v; want it to hang, else the story proves nothing", err)
		}
		const waiting = "SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
		if who := m.sql(waiting); who != "psql" {
			l.Errorf("%q wait for the standby, want the abandoned psql alone", who)
		}
		w.Quiet(12) // much longer than fail_interval
		w.Shows("0: m > s2 (s1)")
		w.UntilDiagnosis(0, cluster.OK)
		if d := w.Detail("m"); d.Suspect || d.Reason != nil {
			l.Errorf("m is %+v, want it in good order", d)
		}

		s1.start()
		w.Expect("slave_up 0 s1")
		w.Until("sync_blocked false", blocked(cluster.No))
		m.sql("CREATE TABLE afterwards()")
		w.Shows("0: m > s1 s2")
		w.end()
	})
}

// reloaded makes plusmoin read its file as it is now, and waits until that is in
// force.
func (w *watch) reloaded() {
	w.lab.Helper()
	before := w.Status().Config.LoadedAt
	w.reload()
	w.Until("the reload", func(d status.Document) bool { return d.Config.LoadedAt.After(before) && d.Config.Error == nil })
}

// replace puts a file in the place of the configuration, as most editors do.
func (w *watch) replace(text string) {
	w.lab.Helper()
	file := filepath.Join(w.dir, "config", "plusmoin.json")
	w.lab.must(os.WriteFile(file+".new", []byte(text), 0o644))
	w.lab.must(os.Rename(file+".new", file))
}

// volume makes a volume, which outlives the containers that it is mounted in.
func (l *lab) volume(name string) string {
	l.Helper()
	making.RLock()
	defer making.RUnlock()
	v, err := docker.Client.CreateVolume(dc.CreateVolumeOptions{Name: l.id + "-" + name, Labels: labels()})
	l.must(err)
	l.Cleanup(func() {
		if err := docker.Client.RemoveVolumeWithOptions(dc.RemoveVolumeOptions{Name: v.Name}); err != nil {
			l.Error(err)
		}
	})
	return v.Name
}

// mounted makes a server that has folders or volumes mounted. It gets a home that
// the server's user may look into: a slave looks for certificates there.
func (l *lab) mounted(name string, command []string, mounts ...string) node {
	l.Helper()
	return node{l.run(name, dc.CreateContainerOptions{
		Config: &dc.Config{
			Image: postgresImage(l.version), Cmd: command,
			Env:     []string{"HOME=/var/lib/postgresql"},
			Volumes: map[string]struct{}{"/var/lib/postgresql": {}},
		},
		HostConfig: &dc.HostConfig{Binds: mounts},
	}, l.watching, l.replicating)}
}

// giveUpSoon lets a slave that streams try no address for longer than two seconds.
// The receiver of PostgreSQL knows no time limit for a connect: one that looked
// the name up just before its host moved would wait for minutes.
func (n node) giveUpSoon() {
	n.lab.Helper()
	n.exec("sed", "-i", "s/ user=/ tcp_user_timeout=2000&/", "/var/lib/postgresql/data/postgresql.auto.conf")
	n.sql("SELECT pg_reload_conf()")
}

// dispose removes the container of a server. Volumes stay.
func (n node) dispose() { n.lab.Helper(); n.lab.must(remove(n.id())) }

// recreate makes the container anew, with other addresses: the engine would hand
// out the old ones again, so these are chosen.
func (n node) recreate() {
	n.lab.Helper()
	old := map[*dockertest.Network]string{}
	for network, address := range n.address {
		old[network] = address
		four := netip.MustParseAddr(address).As4()
		four[3] += 100
		n.address[network] = netip.AddrFrom4(four).String()
	}
	watching := n.lab.watching
	n.options.NetworkingConfig.EndpointsConfig[watching.Network.ID] = n.endpoint(watching)
	n.create(watching, n.lab.replicating)
	for network, address := range old {
		if now := n.address[network]; now == address || now == "" {
			n.lab.Fatalf("%s has the address %q again on %s", n.name, now, network.Network.Name)
		}
	}
}
