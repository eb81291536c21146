package cluster_test

import (
	"flag"
	"fmt"
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
	storyList   = regexp.MustCompile(`(?m)^\*Stories:\*.*\n?`)
)

// citedStory is one story of a script and the rules that it cites.
type citedStory struct {
	file  string
	line  int    // of its servers
	title string // the first sentence of the comment before it
	cites []string
}

// storiesOf splits a script into its stories. What a story cites stands in the
// comment right before its servers.
func storiesOf(file, text string) []citedStory {
	var stories []citedStory
	var comment, pending []string
	blank := false // the line before
	for i, line := range strings.Split(text, "\n") {
		switch said, isComment := strings.CutPrefix(line, "#"); {
		case strings.HasPrefix(line, "# Rule:"):
			for _, m := range citation.FindAllStringSubmatch(line, -1) {
				pending = append(pending, m[1])
			}
		case isComment && blank:
			comment = []string{strings.TrimSpace(said)}
		case isComment:
			comment = append(comment, strings.TrimSpace(said))
		case strings.HasPrefix(line, "servers "):
			stories = append(stories, citedStory{file: file, line: i + 1, title: titleOf(comment), cites: pending})
			comment, pending = nil, nil
		case line != "":
			comment = nil
		}
		blank = line == ""
	}
	return stories
}

// titleOf returns the first sentence of a comment.
func titleOf(comment []string) string {
	text := strings.TrimPrefix(strings.Join(comment, " "), "Story: ")
	text, _, _ = strings.Cut(text, ". ")
	return strings.TrimSuffix(text, ".")
}

// withStories returns the rules with the list of every rule as the stories' own
// citations make it, in the order of the scripts.
func withStories(rules string, stories []citedStory) string {
	lists := map[string][]string{}
	for _, s := range stories {
		named := fmt.Sprintf("`%s`: %s", filepath.Base(s.file), s.title)
		for _, rule := range s.cites {
			if !slices.Contains(lists[rule], named) {
				lists[rule] = append(lists[rule], named)
			}
		}
	}
	var out strings.Builder
	at := 0
	for _, m := range ruleHeading.FindAllStringSubmatchIndex(rules, -1) {
		out.WriteString(rules[at:m[0]])
		rule, end := rules[m[2]:m[3]], len(rules)
		if next := strings.Index(rules[m[1]:], "\n#"); next >= 0 {
			end = m[1] + next
		}
		body := storyList.ReplaceAllLiteralString(rules[m[0]:end], "")
		body = strings.TrimRight(body, "\n") + "\n\n*Stories:* " + strings.Join(lists[rule], "; ") + ".\n"
		out.WriteString(body)
		at = end
	}
	return out.String() + rules[at:]
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
		if s.title == "" {
			faults = append(faults, fmt.Sprintf("%s:%d: a story without a title", s.file, s.line))
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
	stories := readStories(t)
	for _, fault := range ruleFaults(string(rules), stories) {
		t.Error(fault)
	}
	want := withStories(string(rules), stories)
	if want == string(rules) {
		return
	}
	if rewriting() {
		if err := os.WriteFile("RULES.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("the lists of stories in RULES.md are not those of the scripts: go test ./cluster -run EveryRule -rewrite")
	has, wants := strings.Split(string(rules), "\n"), strings.Split(want, "\n")
	for _, line := range wants {
		if !slices.Contains(has, line) {
			t.Errorf("wanted: %s", line)
		}
	}
}

// rewriting reports whether the flag of the scripts asks to write anew what is
// generated.
func rewriting() bool {
	f := flag.Lookup("rewrite")
	return f != nil && f.Value.String() == "true"
}

func readStories(t *testing.T) []citedStory {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var stories []citedStory
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
	return stories
}

// TestRuleFaultsAreFound keeps the test above able to fail.
func TestRuleFaultsAreFound(t *testing.T) {
	const rules = "### a-1\n\n### b-1\n"
	const script = "# Told. More.\n# Rule: RULES.md#a-1, RULES.md#c-1\nservers x master\n----\n\nservers y master\n"
	stories := storiesOf("f", script)
	want := []string{
		"f cites c-1, which is no rule", "f has a story without a rule", "f:6: a story without a title",
		"rule b-1 has no story",
	}
	if got := ruleFaults(rules, stories); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// TestStaleListsAreFound: a list that names a story that is not there, lacks one,
// or is missing is written anew; a right one stays as it is.
func TestStaleListsAreFound(t *testing.T) {
	stories := storiesOf("f.txt", "# Story: One.\n# Rule: RULES.md#a-1\nservers x master\n----\n"+
		"\n# Two, on\n# two lines. More.\n# Rule: RULES.md#a-1, RULES.md#b-1\nservers y master\n")
	const right = "# R\n\n### a-1\nA. *Why:* a.\n\n*Stories:* `f.txt`: One; `f.txt`: Two, on two lines.\n" +
		"\n## B\n\n### b-1\nB.\n\n*Stories:* `f.txt`: Two, on two lines.\n"
	for _, stale := range []string{
		right,
		strings.Replace(right, "`f.txt`: One; ", "", 1),
		strings.Replace(right, "One;", "Gone;", 1),
		strings.Replace(right, "\n*Stories:* `f.txt`: Two, on two lines.\n", "", 1),
	} {
		if got := withStories(stale, stories); got != right {
			t.Errorf("%q became %q, want %q", stale, got, right)
		}
	}
}
