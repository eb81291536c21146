package monitor_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/monitor"
)

// journal is a Log at a level, and what it has written since it was last asked.
type journal struct {
	*monitor.Log
	out *bytes.Buffer
}

func newJournal(level slog.Level) journal {
	out := new(bytes.Buffer)
	return journal{monitor.NewLog(slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))), out}
}

// lines returns what was written without times.
func (j journal) lines() []string {
	text := regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(strings.TrimSpace(j.out.String()), "")
	j.out.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// hears tells a journal of a snapshot and of events, and compares what it
// writes.
func (j journal) hears(t *testing.T, s cluster.Snapshot, events []cluster.Event, want ...string) {
	t.Helper()
	j.Heard(s, events)
	if got := j.lines(); !slices.Equal(got, want) {
		t.Errorf("wrote\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func entry(n cluster.Node) *cluster.Entry { return &cluster.Entry{Host: n.Host, Port: n.Port} }

func TestLogTellsOfEveryEndAtTheLevelOfItsBeginning(t *testing.T) {
	j := newJournal(slog.LevelError)
	refused := cluster.ReasonRefused
	s := cluster.Snapshot{
		Clusters: []cluster.Cluster{{ID: 3, HasMaster: true, Diagnosis: cluster.OK}},
		Nodes:    map[string]cluster.Detail{"m1:5432": {Reason: &refused}, "s1:5432": {State: cluster.Slave}},
	}
	dead := s
	dead.Clusters = []cluster.Cluster{{ID: 3, Diagnosis: cluster.DeadMaster}}
	told := func(k cluster.Kind, n cluster.Node) []cluster.Event {
		return []cluster.Event{{ID: 9, Cluster: 3, Kind: k, Node: entry(n)}}
	}
	j.hears(t, dead, told(cluster.MasterDown, m1), `level=ERROR msg=master_down event_id=9 cluster=3 node=m1:5432 reason=refused diagnosis=dead_master`)
	j.hears(t, s, told(cluster.MasterUp, s1), `level=ERROR msg=master_up event_id=9 cluster=3 node=s1:5432`)
	j.hears(t, s, told(cluster.SlaveDown, m1), `level=ERROR msg=slave_down event_id=9 cluster=3 node=m1:5432 reason=refused`)
	j.hears(t, s, told(cluster.SlaveUp, s1), `level=ERROR msg=slave_up event_id=9 cluster=3 node=s1:5432`)
	j.hears(t, s, told(cluster.ClusterSplit, s1), `level=ERROR msg=cluster_split event_id=9 cluster=3 node=s1:5432`)
	j.hears(t, s, []cluster.Event{{ID: 9, Cluster: 4, Kind: cluster.ClusterGone}}, `level=ERROR msg=cluster_gone event_id=9 cluster=4`)
	j.hears(t, s, told(cluster.ClusterUp, s1), `level=ERROR msg=cluster_up event_id=9 cluster=3 node=s1:5432`)
	j.hears(t, s, told(cluster.NodeLeft, s1))
	j.hears(t, s, told(cluster.NodeJoined, s1))
	j.hears(t, s, told(cluster.PlusmoinHeartbeat, s1))

	s.Nodes = map[string]cluster.Detail{"s1:5432": {State: cluster.Clusterless}}
	j.hears(t, s, told(cluster.NodeLeft, s1), `level=ERROR msg=node_left event_id=9 cluster=3 node=s1:5432`)
}

func TestLogTellsWhatTheStartHasNotFound(t *testing.T) {
	j := newJournal(slog.LevelError)
	refused := cluster.ReasonRefused
	all := cluster.Snapshot{Starting: true, Nodes: map[string]cluster.Detail{"m1:5432": {Reason: &refused}, "s1:5432": {}}}
	j.hears(t, all, nil)
	all.Starting = false
	j.hears(t, all, nil, `level=ERROR msg="no cluster found at start" nodes=2 reasons="map[answers:1 refused:1]"`)
	j.hears(t, all, nil)

	newJournal(slog.LevelError).hears(t, cluster.Snapshot{}, nil) // nothing is configured

	j = newJournal(slog.LevelError)
	up := []cluster.Event{{ID: 9, Kind: cluster.PlusmoinUp}}
	all.Clusters = []cluster.Cluster{{HasMaster: true, Diagnosis: cluster.OK}}
	j.hears(t, all, up)
	all.Clusters[0] = cluster.Cluster{Diagnosis: cluster.DeadMaster}
	j.hears(t, all, up, `level=ERROR msg=plusmoin_up event_id=9 cluster=0 diagnosis=dead_master`)
}

func TestLogTellsOfAWarningOnceAndOfItsEnd(t *testing.T) {
	j := newJournal(slog.LevelError)
	warned := func(texts ...string) cluster.Snapshot {
		var s cluster.Snapshot
		for _, text := range texts {
			s.Warnings = append(s.Warnings, cluster.Warning{Kind: cluster.SecondWriter, Cluster: 1, Node: "m1:5432", Text: text})
		}
		return s
	}
	const begin = `level=ERROR msg=warning kind=second_writer cluster=1 node=m1:5432 text=`
	j.hears(t, warned("two"), nil, begin+"two")
	j.hears(t, warned("two"), nil)
	j.hears(t, warned("three"), nil) // the same one in other words
	j.hears(t, warned("three", "four", "four"), nil, begin+"four")
	j.hears(t, warned("four"), nil)
	j.hears(t, warned(), nil, `level=ERROR msg="warning is over" kind=second_writer cluster=1 node=m1:5432`)
	j.hears(t, warned(), nil)
	j.hears(t, warned("two"), nil, begin+"two")

	j = newJournal(slog.LevelInfo)
	j.hears(t, warned("two"), nil, begin+"two")
	j.hears(t, warned("three"), nil, strings.Replace(begin, "ERROR", "INFO", 1)+"three")
}
