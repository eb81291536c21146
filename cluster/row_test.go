package cluster_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"db1:5432":       "db1:5432",
		"10.0.0.1:5432":  "10.0.0.1:5432",
		"::1:5432":       "[::1]:5432", // as the Python plusmoin wrote it
		"[::1]:5432":     "[::1]:5432",
		"fe80::1%e0:543": "[fe80::1%e0]:543",
		"-":              "-",
		"":               "",
	} {
		if got := cluster.CanonicalName(name); got != want {
			t.Errorf("CanonicalName(%q) = %q, want %q", name, got, want)
		}
	}
	if got := (cluster.Node{Host: "::1", Port: 5432}).String(); got != "[::1]:5432" {
		t.Errorf("an IPv6 node is called %s", got)
	}
}

// TestStamps reads columns back as they were written, for every stamp that a
// row can give rise to.
func TestStamps(t *testing.T) {
	for _, seconds := range []int64{0, 1, 1_704_067_200, 1_704_067_200_000, 1_704_067_200_000_000, math.MaxInt64} {
		found := cluster.StampOf(seconds, 0)
		next := cluster.Stamp((found.Seconds() + 1) * 1e6).Add(time.Hour + 7*time.Microsecond)
		if next <= found {
			t.Errorf("nothing follows the stamp of %d seconds", seconds)
		}
		if back := cluster.StampOf(next.Seconds(), next.Micros()); back != next {
			t.Errorf("a beat after a row of %d seconds is written as %d and read as %d", seconds, next, back)
		}
	}
	if cluster.StampOf(-5, 3) != 0 || cluster.StampOf(1, -1) != 1e6 || cluster.StampOf(1, 2e6) != 1_999_999 {
		t.Error("what is out of range is not moved to its ends")
	}
}

// TestEmptySnapshot wants lists where there is nothing to list.
func TestEmptySnapshot(t *testing.T) {
	text, err := json.Marshal(cluster.New(cluster.Moment{Wall: epoch}, cluster.Config{}).Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "null") {
		t.Errorf("null in %s", text)
	}
}
