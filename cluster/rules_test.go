package cluster_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	ruleHeading = regexp.MustCompile(`(?m)^### (\S+)$`)
	citation    = regexp.MustCompile(`RULES\.md#([a-z0-9-]+)`)
)

// citedStory is one story of a script and the rules that it cites.
type citedStory struct {
	file  string
	line  int // of its servers
	cites []string
}

// storiesOf splits a script into its stories. What a story cites stands in
// comments between the output before it and the end of its own commands.
func storiesOf(file, text string) []citedStory {
	var stories []citedStory
	var pending []string
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "# Rule:") {
			for _, m := range citation.FindAllStringSubmatch(line, -1) {
				pending = append(pending, m[1])
			}
		}
		if strings.HasPrefix(line, "servers ") {
			stories = append(stories, citedStory{file: file, line: i + 1, cites: pending})
			pending = nil
		}
	}
	return stories
}

// ruleFaults returns what is wrong between the rules and the stories.
func ruleFaults(rules string, stories []citedStory) []string {
	known := map[string]bool{}
	var faults []string
	for _, m := range ruleHeading.FindAllStringSubmatch(rules, -1) {
		if _, twice := known[m[1]]; twice {
			faults = append(faults, "rule "+m[1]+" stands twice")
		}
		known[m[1]] = false
	}
	for _, s := range stories {
		if len(s.cites) == 0 {
			faults = append(faults, s.file+" has a story without a rule")
		}
		for _, rule := range s.cites {
			if _, ok := known[rule]; !ok {
				faults = append(faults, s.file+" cites "+rule+", which is no rule")
				continue
			}
			known[rule] = true
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(known)) {
		if !known[rule] {
			faults = append(faults, "rule "+rule+" has no story")
		}
	}
	return faults
}

func TestEveryRuleHasAStoryAndEveryStoryARule(t *testing.T) {
	rules, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	var stories []citedStory
	for _, pattern := range []string{"testdata/*.txt"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(file) == "README.txt" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			stories = append(stories, storiesOf(file, string(text))...)
		}
	}
	for _, fault := range ruleFaults(string(rules), stories) {
		t.Error(fault)
	}
}

// TestRuleFaultsAreFound keeps the test above able to fail.
func TestRuleFaultsAreFound(t *testing.T) {
	const rules = "### a-1\n\n### b-1\n"
	stories := storiesOf("f", "# Rule: RULES.md#a-1, RULES.md#c-1\nservers x master\n----\n\nservers y master\n")
	want := []string{"f cites c-1, which is no rule", "f has a story without a rule", "rule b-1 has no story"}
	if got := ruleFaults(rules, stories); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
