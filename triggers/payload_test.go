package triggers_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plusmoin/cluster"
	"plusmoin/triggers"
)

var rewrite = flag.Bool("rewrite", false, "record the golden files anew")

// lostSlave is a snapshot of three clusters, of which 0 has lost s1, and a
// clusterless node.
func lostSlave() cluster.Snapshot {
	since := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	of := func(p cluster.Place) cluster.Detail { return cluster.Detail{State: p, Since: since} }
	lag, reason, text := 131.5, cluster.ReasonLag, `behind by > "131" s & more`
	from := 7
	s1 := of(cluster.Lost)
	s1.Lag, s1.Reason, s1.Error = &lag, &reason, &text
	s1.ReplayPaused = cluster.Yes
	return cluster.Snapshot{
		Clusters: []cluster.Cluster{
			{
				ID: 0, HasMaster: true, Diagnosis: cluster.NoSlavesInSync,
				Master: &cluster.Entry{Host: "m1", Port: 5432, ClusterID: 0},
				Lost:   []cluster.Entry{{Host: "s1", Port: 5432, ClusterID: 0, IsSlave: true, MasterName: "m1:5432"}},
			},
			{ID: 2, Diagnosis: cluster.DeadMaster, SplitFrom: &from, Evidence: &cluster.Evidence{Hears: []string{}, Cut: []string{"[::1]:5433"}, Silent: []string{}}, Slaves: []cluster.Entry{{Host: "::1", Port: 5433, ClusterID: 2, IsSlave: true, MasterName: "[::1]:5432"}}},
			{ID: 7, HasMaster: true, Diagnosis: cluster.OK, Master: &cluster.Entry{Host: "m7", Port: 5432, ClusterID: 7}},
		},
		Clusterless: []cluster.Entry{{Host: "c1", Port: 5432, ClusterID: -1, IsSlave: true, MasterName: "-"}},
		Nodes: map[string]cluster.Detail{
			"m1:5432": of(cluster.Master), "s1:5432": s1, "[::1]:5433": of(cluster.Slave),
			"m7:5432": of(cluster.Master), "c1:5432": of(cluster.Clusterless),
		},
	}
}

// TestPayload compares what a command reads with testdata, byte by byte: the
// keys of the original plusmoin and their types are a contract.
func TestPayload(t *testing.T) {
	s := lostSlave()
	down := event(41, cluster.SlaveDown, 0, "")
	down.Node = &s.Clusters[0].Lost[0]
	noMaster := event(42, cluster.MasterDown, 2, "")
	noMaster.OldMaster = &cluster.Entry{Host: "::1", Port: 5432, ClusterID: 2}
	noMaster.Node = noMaster.OldMaster
	for _, e := range []cluster.Event{
		down, noMaster, event(43, cluster.ClusterGone, 5, ""), event(44, cluster.PlusmoinHeartbeat, 7, ""),
	} {
		t.Run(string(e.Kind), func(t *testing.T) {
			l := newLab(t, `cat > $DIR/stdin`, triggers.Settings{})
			l.Heard(s, []cluster.Event{e})
			l.ended(1)
			golden(t, string(e.Kind)+".json", l.file("stdin"))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// crowd is a snapshot of one cluster whose payload fits no pipe.
func crowd(nodes int) cluster.Snapshot {
	s := cluster.Snapshot{Nodes: map[string]cluster.Detail{}}
	c := cluster.Cluster{ID: 0, Diagnosis: cluster.OK}
	for i := range nodes {
		host := fmt.Sprintf("slave-%05d.example.org", i)
		c.Slaves = append(c.Slaves, cluster.Entry{Host: host, Port: 5432, IsSlave: true, MasterName: "m1:5432"})
		s.Nodes[host+":5432"] = cluster.Detail{State: cluster.Slave}
	}
	s.Clusters = []cluster.Cluster{c}
	return s
}

func TestALargePayload(t *testing.T) {
	for name, script := range map[string]string{
		"read":          `wc -c > $DIR/bytes`,
		"read slowly":   `sleep 0.2; wc -c > $DIR/bytes`,
		"closed":        `exec 0<&-; echo 0 > $DIR/bytes`,
		"left half way": `head -c 10 > /dev/null; echo 0 > $DIR/bytes`,
		"ignored":       `echo 0 > $DIR/bytes`,
		"held":          `sleep 1000 <&0 & echo $! > $DIR/child; echo 0 > $DIR/bytes`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, script, triggers.Settings{})
			l.Heard(crowd(1000), []cluster.Event{event(1, cluster.PlusmoinHeartbeat, 0, "")})
			l.ended(1)
			n, err := strconv.Atoi(strings.TrimSpace(l.file("bytes")))
			if err != nil || n != 0 && n < 200_000 {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if s := l.Stats(); s != (triggers.Stats{Run: 1}) {
				t.Errorf("stats %+v, log:\n%s", s, &l.log.text)
			}
			if name == "held" {
				endProcess(t, l.pid("child"))
			}
		})
	}
}

func endProcess(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Error(err)
	}
}
