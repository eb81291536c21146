//go:build linux

package main_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"plusmoin/internal/pglab"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// reload makes plusmoin read its file as it is now, and waits until it has.
func (w *watch) reload() {
	w.t.Helper()
	before := w.Status().Config.LoadedAt
	w.signal(syscall.SIGHUP)
	w.Until("the reload", func(d status.Document) bool { return d.Config.LoadedAt.After(before) && d.Config.Error == nil })
}

func TestReloadOfNodesKeepsIdsAndPlaces(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lab := pglab.New(t)
	servers := cast(t, lab, "m", "s1", "s2")
	other, err := lab.Master(ctx, "o")
	must(t, err)
	m, s1, s2 := servers[0], servers[1], servers[2]
	w := newWatch(t, nil, nodesOf(m, s1)...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, s1.Stop(ctx))
	w.Expect("slave_down 0 s1")

	w.configure(nil, nodesOf(s2, s1, m)...)
	w.reload()
	w.Expect("node_joined 0 s2", "slave_up 0 s2")
	w.Shows("0: m > s2 (s1)")
	w.configure(nil, nodesOf(other, s2, s1, m)...)
	w.reload()
	w.Expect("cluster_up 1 o")
	must(t, s1.Start(ctx))
	w.Expect("slave_up 0 s1")

	w.configure(nil, nodesOf(m, s1, other)...)
	w.reload()
	w.Expect("node_left 0 s2")
	w.Shows("0: m > s1; 1: o >")
	w.configure(nil, nodesOf(m, s1)...)
	w.reload()
	w.Expect("node_left 1 o", "master_down 1 o", "cluster_gone 1")
	w.configure(nil, nodesOf(s1)...)
	w.reload()
	w.Expect("node_left 0 m", "master_down 0 m")
	w.Shows("0: > s1")
	w.Quiet(3)
	w.stop()
}

func TestReloadOfDelaysTriggersLogLevelAndPassword(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	m, s1 := servers[0], servers[1]
	nodes := nodesOf(m, s1)
	w := newWatch(t, conf{"max_sync_delay": 60, "recover_sync_delay": 60, "log_level": "error"}, nodes...)
	w.start()
	w.Expect("plusmoin_up 0")
	must(t, s1.PauseReplay(ctx))
	w.Quiet(8)

	note := filepath.Join(w.dir, "note")
	triggers := story.Recorder(w.EventsFile)
	triggers["slave_up"] = strings.Join(story.Appender(w.EventsFile), " ") + "; echo $PLUSMOIN_NODE >>" + note
	if log := w.log(); strings.Contains(log, "level=DEBUG") {
		t.Errorf("log at level error: %s", log)
	}
	w.configure(conf{"max_sync_delay": 2, "recover_sync_delay": 1, "log_level": "debug", "triggers": triggers}, nodes...)
	w.reload()
	w.Expect("slave_down 0 s1")
	w.Poll(func() bool { return strings.Contains(w.log(), "level=DEBUG") })
	if !strings.Contains(w.log(), "level=DEBUG") {
		t.Error("nothing is logged at level debug after the reload")
	}
	must(t, s1.ResumeReplay(ctx))
	w.Expect("slave_up 0 s1")
	if !w.Poll(func() bool { text, _ := os.ReadFile(note); return string(text) == w.Address("s1")+"\n" }) {
		t.Error("the new trigger did not run")
	}

	// Sessions that are ended afterwards come back only with the new password.
	query(t, m, `ALTER ROLE plusmoin PASSWORD 'parsnip'`)
	must(t, s1.CatchUp(ctx))
	w.configure(conf{"password": "parsnip"}, nodes...)
	w.reload()
	for _, s := range servers {
		query(t, s, endWatching)
	}
	w.Quiet(6)
	w.Shows("0: m > s1")
	if text := w.log(); strings.Contains(text, "parsnip") || strings.Contains(text, pglab.Password) {
		t.Error("there is a password in the log")
	}
	w.stop()
}

func TestBrokenConfigurationChangesNothingAndIsShown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	servers := cast(t, pglab.New(t), "m", "s1")
	nodes := nodesOf(servers...)
	w := newWatch(t, conf{"log_level": "error"}, nodes...)
	w.start()
	w.Expect("plusmoin_up 0")
	loaded := w.Status().Config.LoadedAt
	sound := w.conf
	for _, c := range []struct {
		change conf
		names  string // what the error has to speak of
	}{
		{conf{"max_sync_delay": 1, "recover_sync_delay": 2}, "recover_sync_delay"},
		{conf{"hartbeat": 2}, "hartbeat"},
		{conf{"sslmode": "verify-full", "sslrootcert": "/nowhere/root.crt"}, "/nowhere/root.crt"},
	} {
		w.conf = maps.Clone(sound)
		w.configure(c.change, nodes[0])
		w.signal(syscall.SIGHUP)
		w.Until("an error of the configuration about "+c.names, func(d status.Document) bool {
			return d.Config.Error != nil && strings.Contains(*d.Config.Error, c.names)
		})
		if !strings.Contains(w.log(), c.names) {
			t.Errorf("the log does not speak of %s", c.names)
		}
	}
	must(t, os.WriteFile(w.configFile(), []byte(`{"dbname": "plusmoin`), 0o600))
	w.signal(syscall.SIGHUP)
	w.Until("an error of syntax", func(d status.Document) bool {
		return d.Config.Error != nil && !strings.Contains(*d.Config.Error, "root.crt")
	})
	if got := w.Status().Config.LoadedAt; !got.Equal(loaded) {
		t.Errorf("loaded_at %v, want that of the configuration in force, %v", got, loaded)
	}
	w.Quiet(4)
	must(t, servers[1].Stop(ctx)) // it is watched still
	w.Expect("slave_down 0 s1")
	must(t, servers[1].Start(ctx))
	w.Expect("slave_up 0 s1")

	w.conf = sound
	w.configure(nil, nodes...)
	w.reload()
	w.Quiet(2)
	w.stop()
}
