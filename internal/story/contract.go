package story

import (
	"bytes"
	"encoding/json"
	"testing"
)

// entry is a node as documented: exactly these keys, of these types.
type entry struct {
	Host       *string `json:"host"`
	Port       *int    `json:"port"`
	ClusterID  *int    `json:"cluster_id"`
	IsSlave    *bool   `json:"is_slave"`
	MasterName *string `json:"master_name"`
}

// checkPayload holds what a trigger reads against the documentation: one line,
// with the documented keys and types; other keys may stand beside them.
func checkPayload(t *testing.T, line []byte) {
	t.Helper()
	if bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("a trigger read %q, want one line", line)
	}
	top := object(t, line)
	checkCluster(t, top)
	checkEntry(t, top["trigger"], true)
	checkEntries(t, top["clusterless"])
}

// checkStatus does the same with the status file.
func checkStatus(t *testing.T, text []byte) {
	t.Helper()
	top := object(t, text)
	for _, c := range list(t, top["clusters"]) {
		checkCluster(t, object(t, c))
	}
	checkEntries(t, top["clusterless"])
}

// checkCluster checks the keys that a cluster in the status file and a payload
// have in common.
func checkCluster(t *testing.T, c map[string]json.RawMessage) {
	t.Helper()
	var id *int
	var hasMaster *bool
	strictly(t, c["cluster_id"], &id)
	strictly(t, c["has_master"], &hasMaster)
	if id == nil || hasMaster == nil {
		t.Fatalf("cluster_id %s, has_master %s", c["cluster_id"], c["has_master"])
	}
	checkEntry(t, c["master"], !*hasMaster)
	if *hasMaster == (string(c["master"]) == "null") {
		t.Fatalf("has_master %t, but master %s", *hasMaster, c["master"])
	}
	checkEntries(t, c["slaves"])
	checkEntries(t, c["lost"])
}

func checkEntries(t *testing.T, text json.RawMessage) {
	t.Helper()
	for _, e := range list(t, text) {
		checkEntry(t, e, false)
	}
}

func checkEntry(t *testing.T, text json.RawMessage, mayBeNull bool) {
	t.Helper()
	if mayBeNull && string(text) == "null" {
		return
	}
	var e entry
	strictly(t, text, &e)
	if e.Host == nil || e.Port == nil || e.ClusterID == nil || e.IsSlave == nil || e.MasterName == nil {
		t.Fatalf("node entry %s lacks a documented key", text)
	}
}

func object(t *testing.T, text json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var o map[string]json.RawMessage
	strictly(t, text, &o)
	return o
}

// list returns the elements of an array, which must be one even if it is empty.
func list(t *testing.T, text json.RawMessage) []json.RawMessage {
	t.Helper()
	var l []json.RawMessage
	strictly(t, text, &l)
	if l == nil {
		t.Fatal("null where there must be an array")
	}
	return l
}

func strictly(t *testing.T, text json.RawMessage, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}
