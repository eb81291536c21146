//go:build functional

package functional

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	dc "github.com/ory/dockertest/v3/docker"

	"plusmoin/cluster"
	"plusmoin/internal/story"
	"plusmoin/status"
)

// The image has what triggers need and plusmoin no rights that it does not need.
func TestImage(t *testing.T) {
	others(t, func(l *lab) {
		w := l.watch(nil, l.master("m"))
		w.Expect("plusmoin_up 0")
		for _, question := range []struct{ ask, want string }{
			{"cat /proc/1/comm", "^tini$"},
			{"ls -ld /proc/1 /proc/$(cat /proc/1/task/1/children) | cut -d' ' -f3 | sort -u", "^plusmoin$"},
			{"grep ^Uid: /proc/1/status", "^Uid:\t10001\t10001\t10001\t10001$"},
			{"grep ^CapEff: /proc/1/status", "^CapEff:\t0+$"},
			{"touch /tmp/file 2>&1 || true", "Read-only file system$"},
			{`echo '{"a": [7]}' | jq .a[0]`, "^7$"},
			{"plusmoin status --alive && echo alive", "^alive$"},
		} {
			if answer := w.exec("sh", "-c", question.ask); !regexp.MustCompile(question.want).MatchString(answer) {
				l.Errorf("%s: %q, want %s", question.ask, answer, question.want)
			}
		}
		if took := w.ended(); took > 5*time.Second {
			l.Errorf("it took %v to stop with nothing to wait for", took)
		}
	})
}

// An engine kills what has not ended ten seconds after SIGTERM. A trigger that
// ignores SIGTERM too must not make it come to that.
func TestImageStopsInTimeWhateverItsTriggersDo(t *testing.T) {
	others(t, func(l *lab) {
		triggers := story.Triggers("/triggers/record")
		triggers["plusmoin_up"] = `/triggers/record; trap "" TERM; echo deaf >/events/trigger; while :; do sleep 1; done`
		w := l.watch(conf{"triggers": triggers, "trigger_timeout": 600}, l.master("m"))
		w.Expect("plusmoin_up 0")
		l.await("the trigger runs", func() (bool, error) {
			text, err := os.ReadFile(filepath.Join(w.dir, "events", "trigger"))
			return string(text) == "deaf\n", err
		})
		// What runs gets three seconds to end, and five more after SIGTERM.
		if took := w.ended(); took > 10*time.Second || took < 7*time.Second {
			l.Errorf("it took %v to stop, want about 8 s", took)
		}
	})
}

// The health check is about plusmoin itself: to restart it would mend no server.
func TestImageIsUnhealthyOnlyWhenRoundsStop(t *testing.T) {
	others(t, func(l *lab) {
		nodes := l.cast("m", "s1")
		m := nodes[0]
		w := l.watch(nil, nodes...)
		w.Expect("plusmoin_up 0")
		w.exchange(func(o *dc.CreateContainerOptions) {
			o.Config.Healthcheck = &dc.HealthConfig{Interval: time.Second} // the rest is the image's
		})
		w.Expect("plusmoin_up 0")
		w.untilHealth("healthy")

		m.kill()
		w.Expect("master_down 0 m")
		w.staysHealthy(4)
		w.UntilDiagnosis(0, cluster.DeadMaster)
		m.start()
		w.Expect("master_up 0 m")

		w.exec("sh", "-c", "kill -STOP $(cat /proc/1/task/1/children)")
		w.untilHealth("unhealthy")
		w.exec("sh", "-c", "kill -CONT $(cat /proc/1/task/1/children)")
		w.untilHealth("healthy")
		w.Quiet(6)
		w.Shows("0: m > s1")
		w.end()
	})
}

// An image of one's own is made as the documentation says, from the very files
// that it speaks of.
func TestDerivedImage(t *testing.T) {
	others(t, func(l *lab) {
		image := l.build("../contrib/docker", dc.BuildArg{Name: "PLUSMOIN", Value: plusmoinImage})
		nodes := l.cast("db1", "db2")
		w := l.watch(nil, nodes...)
		w.Expect("plusmoin_up 0")
		w.StatusFile = func() ([]byte, error) {
			text, err := w.try("cat", "/run/plusmoin/status.json")
			return []byte(text), err
		}
		w.exchange(func(o *dc.CreateContainerOptions) {
			o.Config.Image, o.HostConfig.Binds = image, nil
			o.HostConfig.Tmpfs = map[string]string{"/run/plusmoin": ""}
		})
		w.Shows("0: db1 > db2")
		if table := w.exec("plusmoin", "status", "--table"); !strings.HasPrefix(table, "OK: all is well\n") {
			l.Errorf("the status is\n%s", table)
		}
		if user := w.exec("stat", "-c", "%U %a", "/etc/plusmoin/plusmoin.json"); user != "plusmoin 600" {
			l.Errorf("the configuration in the image belongs to %q", user)
		}

		nodes[1].stop(10)
		noted := regexp.MustCompile(`^\S+ db2:5432 of cluster 0: (dns|refused|unreachable|timeout|shutting_down)$`)
		l.await("the trigger notes the slave", func() (bool, error) {
			text, err := w.try("cat", "/run/plusmoin/slave_down.log")
			return noted.MatchString(text), err
		})
		w.Shows("0: db1 > (db2)")
		w.reloaded()
		if took := w.stopped(); took > 5*time.Second {
			l.Errorf("it took %v to stop with nothing to wait for", took)
		}
	})
}

// exchange puts another container in the place of plusmoin's, which stops.
func (w *watch) exchange(change func(*dc.CreateContainerOptions)) {
	w.lab.Helper()
	w.Expect()
	w.stopped()
	w.lab.must(remove(w.id()))
	change(&w.options)
	w.Begin()
	w.create(w.lab.watching)
	w.Until("the start of another plusmoin", func(d status.Document) bool { return d.State == status.Running })
}

// stopped stops plusmoin as an engine does and returns how long that took.
func (w *watch) stopped() time.Duration {
	w.lab.Helper()
	began := time.Now()
	w.stop(10)
	c, err := docker.Client.InspectContainer(w.id())
	w.lab.must(err)
	if c.State.ExitCode != 0 {
		w.lab.Fatalf("plusmoin ended with exit code %d after SIGTERM, want 0", c.State.ExitCode)
	}
	return c.State.FinishedAt.Sub(began)
}

// ended ends the story as end does and returns how long it took to stop.
func (w *watch) ended() time.Duration {
	w.lab.Helper()
	began := time.Now()
	w.end()
	c, err := docker.Client.InspectContainer(w.id())
	w.lab.must(err)
	return c.State.FinishedAt.Sub(began)
}

// untilHealth waits until the engine finds plusmoin to be so.
func (w *watch) untilHealth(want string) {
	w.lab.Helper()
	w.lab.await("plusmoin is "+want, func() (bool, error) {
		c, err := docker.Client.InspectContainer(w.id())
		return err == nil && c.State.Health.Status == want, err
	})
}

// staysHealthy checks that the next checks of the engine find plusmoin well. The
// engine remembers five.
func (w *watch) staysHealthy(checks int) {
	w.lab.Helper()
	began := time.Now()
	w.lab.await("checks of health", func() (bool, error) {
		c, err := docker.Client.InspectContainer(w.id())
		if err != nil {
			return false, err
		}
		done := 0
		for _, check := range c.State.Health.Log {
			if check.Start.Before(began) {
				continue
			}
			if check.ExitCode != 0 {
				w.lab.Fatalf("a check of health ends with %d: %s", check.ExitCode, check.Output)
			}
			done++
		}
		return done >= checks, nil
	})
}

// build builds an image from the files in a folder and returns its name. What is
// made of it must be made later, so that it is removed earlier.
func (l *lab) build(folder string, arguments ...dc.BuildArg) string {
	l.Helper()
	name := l.id + "-image"
	l.Cleanup(func() {
		if err := docker.Client.RemoveImageExtended(name, dc.RemoveImageOptions{Force: true}); err != nil {
			l.Error(err)
		}
	})
	var out bytes.Buffer
	err := docker.Client.BuildImage(dc.BuildImageOptions{
		Name: name, ContextDir: folder, BuildArgs: arguments, Labels: labels(),
		RmTmpContainer: true, ForceRmTmpContainer: true, OutputStream: &out,
	})
	if err != nil {
		l.Fatalf("%v\n%s", err, out.String())
	}
	return name
}
