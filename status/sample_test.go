package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plusmoin/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crowd returns a document of n nodes that have just one cluster and n in
// common: where a reader finds something else, it has read half a document.
func crowd(n int, round uint64) Document {
	d := Document{State: Running, Round: Round{Number: round}}
	d.Nodes = make(map[string]cluster.Detail, n)
	reason, lag := cluster.ReasonTimeout, 1.25
	for i := range n {
		e := cluster.Entry{Host: fmt.Sprintf("slave-%05d.example.org", i), Port: 5432, IsSlave: true, MasterName: "m:5432"}
		d.Clusterless = append(d.Clusterless, e)
		d.Nodes[e.Host+":5432"] = cluster.Detail{State: cluster.Clusterless, Reason: &reason, Lag: &lag}
	}
	return d
}

// sample returns a document with something of everything.
func sample() Document {
	at := time.Date(2026, 3, 1, 12, 0, 0, 25e7, time.UTC)
	refused, lag, lsn, version := "plusmoin.json: heartbeat: must be above 0", 0.5, "16/B374D848", 150018
	m1 := cluster.Entry{Host: "m1", Port: 5432}
	from, word := 0, "refused: connection refused"
	return Document{
		Version: "1.2.3", State: Running, UpdatedAt: at, Heartbeat: 0.5,
		Round:  Round{Number: 17, DurationMS: 3.25},
		Config: Config{LoadedAt: at.Add(-time.Hour), Error: &refused, TriedAt: at, Restart: []string{"pid_file"}},
		Snapshot: cluster.Snapshot{
			Clusters: []cluster.Cluster{
				{
					ID: 0, HasMaster: true, Master: &m1, Diagnosis: cluster.OK,
					Slaves: []cluster.Entry{{Host: "s<1>", Port: 5433, IsSlave: true, MasterName: "m1:5432"}},
				},
				{
					ID: 3, Diagnosis: cluster.DeadMaster, Name: "billing", SplitFrom: &from,
					Evidence: &cluster.Evidence{Hears: []string{}, Cut: []string{"[::1]:5432"}, Silent: []string{}, LastWord: &word},
					Lost:     []cluster.Entry{{Host: "::1", Port: 5432, ClusterID: 3}},
				},
			},
			Clusterless: []cluster.Entry{{Host: "c1", Port: 5432, ClusterID: -1, IsSlave: true, MasterName: "-"}},
			Nodes: map[string]cluster.Detail{
				"s<1>:5433": {State: cluster.Slave, Since: at, Lag: &lag, LSN: &lsn, ServerVersion: &version, ReplayPaused: cluster.No},
			},
			Warnings: []cluster.Warning{{Kind: cluster.ListedTwice, Cluster: cluster.NoCluster, Node: "c1:5432", Text: "also c2"}},
		},
	}
}

// logBook keeps what was logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newLog() (*slog.Logger, *logBook) {
	b := &logBook{}
	return slog.New(slog.NewJSONHandler(b, nil)), b
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines returns level, message and error of all records.
func (b *logBook) lines(t *testing.T) []string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	for line := range bytes.Lines(b.text.Bytes()) {
		var r struct{ Level, Msg, Error string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSuffix(r.Level+" "+r.Msg+": "+r.Error, ": "))
	}
	return lines
}
