package cluster_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestContest holds who gets a cluster against all that can stand against each
// other: the master by what became of it, and a second by what it shows.
func TestContest(t *testing.T) {
	incumbents := map[string]string{
		"in order":  "",
		"unwritten": "unanswered m1", // its beat was written and not acknowledged
		"fenced":    "fence m1",
		"demoted":   "follow m1 s1",
		"dead":      "kill m1",
	}
	candidates := map[string]string{
		"promoted":  "promote s1",
		"fenced":    "promote s1\nfence s1",
		"a strange": "reinit s1",
	}
	want := map[string]string{
		"in order, promoted":   "m1 master of 0, s1 master of 1",
		"in order, fenced":     "m1 master of 0, s1 clusterless of -1",
		"in order, a strange":  "m1 master of 0, s1 master of 1",
		"unwritten, promoted":  "m1 master of 0, s1 master of 1",
		"unwritten, fenced":    "m1 master of 0, s1 clusterless of -1",
		"unwritten, a strange": "m1 master of 0, s1 master of 1",
		"fenced, promoted":     "m1 clusterless of -1, s1 master of 0",
		"fenced, fenced":       "m1 lost of 0, s1 lost of 0",
		"fenced, a strange":    "m1 lost of 0, s1 master of 1",
		"demoted, promoted":    "m1 slave of 0, s1 master of 0",
		"demoted, fenced":      "m1 slave of 0, s1 lost of 0",
		"demoted, a strange":   "m1 slave of 0, s1 master of 1",
		"dead, promoted":       "m1 lost of 0, s1 master of 0",
		"dead, fenced":         "m1 lost of 0, s1 lost of 0",
		"dead, a strange":      "m1 lost of 0, s1 master of 1",
	}
	for incumbent, toIncumbent := range incumbents {
		for candidate, toCandidate := range candidates {
			name := incumbent + ", " + candidate
			t.Run(name, func(t *testing.T) {
				s := &script{}
				lines := []string{
					"servers m1 master, s1 follows m1, s2 follows m1", "on", "run 10s",
					toCandidate, "follow s2 s1", toIncumbent, "run 8s",
				}
				if _, err := s.block(strings.Join(lines, "\n")); err != nil {
					t.Fatal(err)
				}
				at := spots(s.monitor.state.Snapshot())
				got := fmt.Sprintf("m1 %s of %d, s1 %s of %d",
					at[node("m1")].place, at[node("m1")].cluster, at[node("s1")].place, at[node("s1")].cluster)
				if got != want[name] {
					t.Errorf("%s, want %s", got, want[name])
				}
				if len(s.history.faults) > 0 {
					t.Error(s.history.faults)
				}
			})
		}
	}
}

// TestOlderCopySaysHowToKeepTheID wants an operator to read what to do with a
// master that was restored to an earlier time. That it works is a story.
func TestOlderCopySaysHowToKeepTheID(t *testing.T) {
	s := &script{}
	_, err := s.block("servers m1 master, s1 follows m1\non\nrun 10s\nbackup m1\nrun 10s\nkill m1\nrun 5s\nrestore m1\npromote m1\nrun 3s")
	if err != nil {
		t.Fatal(err)
	}
	text := s.monitor.state.Snapshot().Nodes[node("m1").String()].Error
	if text == nil || !strings.Contains(*text, "cluster_id 0") {
		t.Errorf("m1 says %v", text)
	}
}
