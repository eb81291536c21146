package triggers_test

import (
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

// notedBy is gated, which notes the name of its command before the id.
func notedBy(name string) string {
	return strings.NewReplacer("+$", "+"+name+"$", "-$", "-"+name+"$", "go$", "go"+name+"$").Replace(gated)
}

func TestASlowLaneHoldsUpNoOther(t *testing.T) {
	l := newLab(t, "", triggers.Settings{
		Commands: named(map[string]string{"a": notedBy("a"), "b": notedBy("b")}), Parallel: 2,
	})
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.MasterDown, 0, "m"), event(2, cluster.MasterUp, 0, "s"),
		event(3, cluster.MasterDown, 1, ""), event(4, cluster.MasterDown, 2, ""),
	})
	l.notes("+a1 +b1 +a3 +b3") // all slots of both
	l.touch("gob1")
	l.touch("gob3")
	l.notes("+a1 +b1 +a3 +b3 -b1 -b3 +b4 +b2")
	l.touch("all")
	l.ended(8)
	if s := l.Stats(); s != (triggers.Stats{Run: 8}) {
		t.Errorf("stats %+v", s)
	}
}

// A lane is a name, whatever the event.
func TestALaneIsInOrderForAllEvents(t *testing.T) {
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	l := newLab(t, "", triggers.Settings{Commands: map[cluster.Kind]map[string][]string{
		cluster.MasterDown: {"a": sh(notedBy("a")), "": sh(gated)},
		cluster.MasterUp:   {"a": sh(notedBy("a")), "c": sh(notedBy("c"))},
	}})
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(1, cluster.MasterDown, 0, ""), event(2, cluster.MasterUp, 0, "")})
	l.notes("+a1 +1 +c2")
	l.touch("goa1")
	l.notes("+a1 +1 +c2 -a1 +a2")
	l.touch("all")
	l.ended(4)
}

func TestNothingWaitsForAHeartbeat(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{Parallel: 1})
	for c := range 3 {
		l.Heard(cluster.Snapshot{}, []cluster.Event{event(int64(100+c), cluster.PlusmoinHeartbeat, c, "")})
	}
	l.notes("+100") // and the others wait for it to end, heartbeats as they are
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(1, cluster.MasterDown, 0, "m1")})
	l.notes("+100 +1") // the same cluster
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(2, cluster.MasterDown, 5, "m5")})
	l.touch("go1")
	l.notes("+100 +1 -1 +2")
	l.touch("all")
	l.ended(5)
}

func TestAHeartbeatWaitsForTheOthersOfItsCluster(t *testing.T) {
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	l := newLab(t, "", triggers.Settings{Commands: map[cluster.Kind]map[string][]string{
		cluster.MasterDown:        {"a": sh(notedBy("a")), "b": sh(notedBy("b"))},
		cluster.PlusmoinHeartbeat: {"": sh(gated), "a": sh(notedBy("a")), "c": sh(notedBy("c"))},
	}})
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.MasterDown, 0, "m1"), event(9, cluster.PlusmoinHeartbeat, 0, ""),
		event(10, cluster.PlusmoinHeartbeat, 1, ""),
	})
	// With a name for those of that name, without one for all.
	l.notes("+a1 +b1 +c9 +10 +a10 +c10")
	l.touch("goa1")
	l.notes("+a1 +b1 +c9 +10 +a10 +c10 -a1 +a9")
	l.touch("gob1")
	l.notes("+a1 +b1 +c9 +10 +a10 +c10 -a1 +a9 -b1 +9")
	l.touch("all")
	l.ended(8)
}

// kinds returns what is warned of, as "kind cluster node".
func kinds(list []cluster.Warning) string {
	var all []string
	for _, w := range list {
		all = append(all, strings.TrimSpace(string(w.Kind)+" "+w.Node))
	}
	return strings.Join(all, ", ")
}

func TestAFailureIsWarnedOfUntilTheSameTriggerSucceeds(t *testing.T) {
	script := `[ -e $DIR/mended ] && exit
case $PLUSMOIN_EVENT in
slave_down) exit 3;;
slave_up) kill -9 $$;;
master_down) sleep 1000;;
esac`
	l := newLab(t, "", triggers.Settings{Timeout: 3 * time.Second, Grace: 50 * time.Millisecond, Commands: named(map[string]string{"p": script})})
	l.settings.Commands[cluster.MasterUp]["p"] = []string{"/nowhere/to/be/found"}
	l.Reconfigure(l.settings)
	if w := l.Warnings(); len(w) != 0 {
		t.Errorf("warnings %+v", w)
	}
	events := []cluster.Event{
		event(1, cluster.SlaveDown, 0, "s1"), event(2, cluster.SlaveUp, 1, "s2"),
		event(3, cluster.MasterDown, 2, "m3"), event(4, cluster.MasterUp, 3, "m4"), event(5, cluster.ClusterUp, 4, "m5"),
	}
	l.Heard(cluster.Snapshot{}, events)
	l.ended(5)
	want := map[string]string{
		"s1:5432": `trigger slave_down "p" of cluster 0, node s1:5432, failed at `,
		"s2:5432": "ended by SIGKILL", "m3:5432": "timed out after 3s", "m4:5432": "not started: ", "m5:5432": "nothing",
	}
	warnings := l.Warnings()
	if len(warnings) != 4 {
		t.Fatalf("warnings %+v", warnings)
	}
	for _, w := range warnings {
		if w.Kind != cluster.TriggerFailed || !strings.Contains(w.Text, want[w.Node]) || w.Cluster != int(w.Node[1]-'1') {
			t.Errorf("warning %+v, want %q", w, want[w.Node])
		}
	}
	if n := len(l.log.of(t, "trigger failed")); n != 2 {
		t.Errorf("%d failures in the log", n)
	}

	l.touch("mended")
	l.Heard(cluster.Snapshot{}, []cluster.Event{event(6, cluster.SlaveDown, 0, "s2"), event(7, cluster.SlaveUp, 0, "s2")})
	l.ended(7)
	if got := l.Warnings(); len(got) != 4 {
		t.Errorf("others succeeded, and the warnings are %+v", got)
	}
	l.Heard(cluster.Snapshot{}, events[:3])
	l.ended(10)
	if got := kinds(l.Warnings()); got != "trigger_failed m4:5432" {
		t.Errorf("warnings %s", got)
	}
	l.settings.Commands[cluster.MasterUp]["p"] = []string{"/bin/true"}
	l.Reconfigure(l.settings)
	if got := l.Warnings(); len(got) != 0 {
		t.Errorf("the command was changed, and the warnings are %+v", got)
	}
}

func TestWaitingForLongIsWarnedOf(t *testing.T) {
	l := newLab(t, gated, triggers.Settings{Patience: 1500 * time.Millisecond})
	l.Heard(cluster.Snapshot{}, []cluster.Event{
		event(1, cluster.MasterDown, 0, "m1"), event(2, cluster.MasterUp, 0, "s1"), event(3, cluster.SlaveUp, 0, "s2"),
		event(4, cluster.NodeJoined, 1, "m1"), event(5, cluster.MasterDown, 7, "m7"),
	})
	if w := l.Warnings(); len(w) != 0 {
		t.Errorf("at once: %+v", w)
	}
	began := time.Now()
	eventually(t, "warnings", func() bool {
		l.Heard(cluster.Snapshot{}, nil)
		return len(l.Warnings()) == 2
	})
	if took := time.Since(began); took < time.Second {
		t.Errorf("warned after %v", took)
	}
	w := l.Warnings()
	if kinds(w) != "trigger_waiting s1:5432, trigger_waiting m1:5432" ||
		!strings.Contains(w[0].Text, "for master_down of cluster 0, node m1:5432, which has run since ") {
		t.Errorf("warnings %+v", w)
	}
	l.Heard(cluster.Snapshot{}, nil)
	records := l.log.of(t, "trigger waits")
	if len(records) != 2 || records[0]["level"] != "ERROR" || records[0]["event"] != "master_up" ||
		!strings.HasPrefix(records[0]["for"].(string), "master_down of cluster 0") {
		t.Errorf("log:\n%s", &l.log.text)
	}
	l.touch("all")
	l.ended(5)
	if w := l.Warnings(); len(w) != 0 {
		t.Errorf("afterwards: %+v", w)
	}
}
