//go:build functional

package functional

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	dc "github.com/ory/dockertest/v3/docker"

	"plusmoin/cluster"
	"plusmoin/internal/story"
)

const plusmoinImage = "plusmoin:test"

// conf is part of a configuration.
type conf map[string]any

// watch is plusmoin watching the nodes of a story, in a container of the
// project's image with a root file system that cannot be written to.
type watch struct {
	*story.Watch
	*host
	dir    string // config, triggers and events are folders in it, mounted in
	status string // the folder of status.json, mounted in, and served
	conf   conf
}

// watch starts a plusmoin that watches nodes. What over says goes before what
// every story has.
func (l *lab) watch(over conf, nodes ...node) *watch {
	l.Helper()
	w := &watch{dir: l.TempDir(), status: web.folder(l)}
	for _, folder := range []string{filepath.Join(w.dir, "config"), filepath.Join(w.dir, "triggers"), filepath.Join(w.dir, "events"), w.status} {
		l.must(os.Mkdir(folder, 0o700))
		l.must(os.Chmod(folder, 0o777)) // the image's user is nobody here
	}
	record := "#!/bin/sh\nexec " + strings.Join(story.Appender("/events/events.jsonl"), " ") + "\n"
	l.must(os.WriteFile(filepath.Join(w.dir, "triggers", "record"), []byte(record), 0o755))
	w.Watch = story.New(l.T, filepath.Join(w.dir, "events", "events.jsonl"), func() ([]byte, error) { return web.get(l, "status.json") })
	w.conf = conf{
		"dbname": "plusmoin", "user": "plusmoin", "password": "carrotcake",
		"heartbeat": 0.5, "fail_interval": 2, "max_sync_delay": 5, "recover_sync_delay": 2,
		"connect_timeout": 3, "trigger_timeout": 20, "log_level": "debug",
		"triggers": story.Triggers("/triggers/record"),
	}
	w.configure(l, over, nodes...)
	w.host = l.run("plusmoin", dc.CreateContainerOptions{
		Config: &dc.Config{Image: plusmoinImage},
		HostConfig: &dc.HostConfig{ReadonlyRootfs: true, Binds: []string{
			filepath.Join(w.dir, "config") + ":/etc/plusmoin:ro",
			filepath.Join(w.dir, "triggers") + ":/triggers:ro",
			filepath.Join(w.dir, "events") + ":/events",
			w.status + ":/run/plusmoin",
		}},
	}, l.watching)
	w.Ended, w.Every = w.hasEnded, 200*time.Millisecond // an engine is slow to ask
	l.Cleanup(w.keep)
	return w
}

// configure writes the configuration with changes, which stay, and the nodes.
func (w *watch) configure(l *lab, change conf, nodes ...node) {
	l.Helper()
	maps.Copy(w.conf, change)
	list := []conf{}
	for _, n := range nodes {
		w.Name[cluster.Node{Host: n.name, Port: 5432}.String()] = n.name
		list = append(list, conf{"host": n.name})
	}
	if len(nodes) > 0 {
		w.conf["nodes"] = list
	}
	text, err := json.MarshalIndent(w.conf, "", "  ")
	l.must(err)
	l.must(os.WriteFile(filepath.Join(w.dir, "config", "plusmoin.json"), text, 0o644))
}

// reload makes plusmoin read its configuration again.
func (w *watch) reload() {
	w.lab.Helper()
	w.lab.must(docker.Client.KillContainer(dc.KillContainerOptions{ID: w.id(), Signal: dc.SIGHUP}))
}

// restart starts a plusmoin that was stopped or killed.
func (w *watch) restart() {
	w.lab.Helper()
	w.Begin()
	w.start()
}

// end stops plusmoin as an engine does and checks what must be true of a whole
// run, and that it took less than ten seconds, after which it would be killed.
func (w *watch) end() {
	w.lab.Helper()
	w.Ended = func() error { return nil }
	w.stop(10)
	c, err := docker.Client.InspectContainer(w.id())
	w.lab.must(err)
	if c.State.ExitCode != 0 {
		w.lab.Fatalf("plusmoin ended with exit code %d after SIGTERM, want 0", c.State.ExitCode)
	}
	w.Close()
}

func (w *watch) hasEnded() error {
	c, err := docker.Client.InspectContainer(w.id())
	if err == nil && !c.State.Running {
		err = fmt.Errorf("plusmoin has ended with exit code %d", c.State.ExitCode)
	}
	return err
}

// keep keeps what a failed story has to be understood by.
func (w *watch) keep() {
	if !w.lab.Failed() {
		return
	}
	to := w.lab.ArtifactDir()
	for _, path := range []string{
		filepath.Join(w.dir, "config", "plusmoin.json"), filepath.Join(w.status, "status.json"), w.EventsFile,
	} {
		text, err := os.ReadFile(path)
		w.save(filepath.Join(to, filepath.Base(path)), text, err)
	}
	for _, h := range w.lab.hosts {
		w.save(filepath.Join(to, h.name+".log"), []byte(h.log()), nil)
	}
	log := w.log()
	w.lab.Logf("plusmoin's log ends with\n%s", log[max(0, len(log)-8000):])
	w.lab.Log(strings.TrimSpace(w.Report()))
}

func (w *watch) save(file string, text []byte, err error) {
	if err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		w.lab.Log(err)
	}
}
