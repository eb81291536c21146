package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plusmoin/cluster"
)

const samplePath = "../plusmoin.json.example"

func sample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// uncommented returns the sample with every setting in it switched on.
func uncommented(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^( *)// (["{].*,)$`).ReplaceAllString(sample(t), "$1$2")
}

func TestSample(t *testing.T) {
	got, warnings, err := Parse([]byte(sample(t)))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%s: %v, %v", samplePath, err, warnings)
	}
	want := parse(t, `{"dbname": "plusmoin", "user": "plusmoin", "password": "nothing", "nodes": []}`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestSampleShowsDefaults switches on what the sample shows commented out. Only
// what it says to be no default may then differ.
func TestSampleShowsDefaults(t *testing.T) {
	got := parse(t, uncommented(t))
	if len(got.Nodes) != 3 || len(got.Triggers) != 3 || got.SSLRootCert == "" || got.SSLCert == "" || got.PassFile == "" {
		t.Errorf("the examples are not all there: %+v", got)
	}
	plain := parse(t, sample(t))
	got.Nodes, got.Triggers = plain.Nodes, plain.Triggers
	got.PassFile, got.SSLRootCert, got.SSLCert, got.SSLKey, got.StateDir, got.RequireAuth = "", "", "", "", "", ""
	if !reflect.DeepEqual(got, plain) {
		t.Errorf("shown as defaults %+v\nbut they are      %+v", got, plain)
	}
}

// TestSampleIsComplete asks the decoder itself which keys there are.
func TestSampleIsComplete(t *testing.T) {
	text := uncommented(t)
	tree, problem := parseSyntax([]byte(text))
	if problem != nil {
		t.Fatal(problem)
	}
	top, _ := element{sheet: newSheet([]byte(text)), value: tree.Value}.section()
	top.config()
	nodes, _ := top.members["nodes"].elements()
	node, _ := nodes[0].section()
	node.node(limits{})

	keys := slices.Concat(top.known, node.known)
	for _, kind := range cluster.Kinds() {
		keys = append(keys, string(kind))
	}
	for _, key := range keys {
		if key != "min_sync_delay" && !strings.Contains(text, `"`+key+`": `) {
			t.Errorf("%s does not show %s", samplePath, key)
		}
	}
	if len(keys) < 35 {
		t.Errorf("only %d keys are known", len(keys))
	}
}

// TestKeys asks the decoder itself which keys there are: a manual must have all.
func TestKeys(t *testing.T) {
	tree, problem := parseSyntax([]byte(uncommented(t)))
	if problem != nil {
		t.Fatal(problem)
	}
	s, _ := element{sheet: newSheet(nil), value: tree.Value}.section()
	s.config()
	known := slices.DeleteFunc(s.known, func(key string) bool { return key == "min_sync_delay" }) // obsolete
	slices.Sort(known)
	var listed []string
	for _, k := range Keys() {
		listed = append(listed, k.Name)
		if k.Text == "" || (k.Default == "") != (k.Name == "dbname" || k.Name == "user") {
			t.Errorf("%+v", k)
		}
	}
	slices.Sort(listed)
	if known = slices.Compact(known); !slices.Equal(known, listed) {
		t.Errorf("Keys has %v\nthe decoder %v", listed, known)
	}
}
