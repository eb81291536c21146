package status

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plusmoin/cluster"
)

var rewrite = flag.Bool("rewrite", false, "record the golden files anew")

// TestDocument compares documents with testdata, byte by byte: the keys of the
// original plusmoin and their types are a contract.
func TestDocument(t *testing.T) {
	starting := Document{State: Starting}
	starting.Starting = true
	for name, d := range map[string]Document{"running": sample(), "starting": starting} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := d.encode(&b); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *rewrite {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
			got, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			want2 := d.withLists()
			want2.Starting = false // which is not in the file
			if diff := cmp.Diff(want2, got); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodingLeavesTheSnapshotAsItIs(t *testing.T) {
	d := sample()
	if err := d.encode(&bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if d.Clusters[0].Lost != nil || d.Clusters[1].Slaves != nil {
		t.Error("a snapshot that others read was written to")
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, text, err string }{
		{"that of the Python plusmoin", `{"clusters": [{"cluster_id": 0, "has_master": true, "master": {"host": "a", "port": 5432, "cluster_id": 0, "is_slave": false, "master_name": ""}, "slaves": [], "lost": []}], "clusterless": []}`, ""},
		{"keys unknown", `{"clusters": [], "clusterless": [], "new": {"x": [1]}, "round": {"number": 3, "more": true}}`, ""},
		{"a state and a diagnosis unknown", `{"clusters": [{"cluster_id": 1, "diagnosis": "odd"}], "clusterless": [], "state": "paused"}`, ""},
		{"empty", ``, "unexpected end"},
		{"half", `{"clusters": [`, "unexpected end"},
		{"two", `{"clusters": [], "clusterless": []}{}`, "after top-level value"},
		{"null", `null`, "lists no clusters"},
		{"another object", `{"nodes": {}}`, "lists no clusters"},
		{"a list", `[]`, "cannot unmarshal"},
		{"a wrong type", `{"clusters": [{"cluster_id": "0"}], "clusterless": []}`, "cannot unmarshal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := decode([]byte(c.text))
			switch {
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Fatalf("error %v, want one with %q", err, c.err)
			case err == nil && (d.Nodes == nil || d.Warnings == nil):
				t.Error("a list is nil")
			}
		})
	}
}

func TestReadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	if _, err := Read(path); !os.IsNotExist(err) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path+": not a status file: ") {
		t.Errorf("error %v", err)
	}
}

// FuzzRead feeds anything to the reader: it must not panic, and what it takes
// it must give back the same.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"running", "starting"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(`{"clusters":[{"slaves":null}],"clusterless":[],"nodes":{"a":{"sync_blocked":true}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decode(data)
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := d.encode(&b); err != nil {
			t.Fatal(err)
		}
		again, err := decode(b.Bytes())
		if err != nil {
			t.Fatalf("%v in %s", err, &b)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkWrite10000Nodes(b *testing.B) {
	p, err := newPlace(filepath.Join(b.TempDir(), "status.json"))
	if err != nil {
		b.Fatal(err)
	}
	d := crowd(10_000, 1)
	d.Clusters = []cluster.Cluster{}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.write(d); err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(p.path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
}
