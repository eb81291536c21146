package postgres

import (
	"testing"

	"plusmoin/cluster"
)

func oneRow(words ...string) reply { return reply{rows: [][][]byte{columns(words...)}} }

// What is out of its range is not known.
func TestDecodeIdentity(t *testing.T) {
	for _, c := range []struct {
		system, server reply
		want           cluster.Facts
	}{
		{oneRow("7"), oneRow("150018", "99", "::1", "5432", "1"),
			cluster.Facts{SystemID: 7, ServerVersion: 150018, Started: 99, ServerAddr: "::1", ServerPort: 5432}},
		{oneRow("-7"), oneRow("-150018", "-99", "no address", "-1", "1"), cluster.Facts{}},
		{oneRow("18446744073709551616"), oneRow("99999999", "9223372036854775808", "fe80::1%eth0", "65536"), cluster.Facts{ServerAddr: "fe80::1"}},
		{oneRow("18446744073709551615"), oneRow("0", "9223372036854775807", "127.0.0.1", "65535"),
			cluster.Facts{SystemID: 1<<64 - 1, Started: 1<<63 - 1, ServerAddr: "127.0.0.1", ServerPort: 65535}},
		{reply{}, reply{}, cluster.Facts{}},
		{reply{rows: [][][]byte{{nil}, {nil}}}, oneRow(), cluster.Facts{}},
	} {
		if got := decodeIdentity(c.system, c.server); got != c.want {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
}

func TestDecodeSchema(t *testing.T) {
	for text, want := range map[string]string{"app": "app", `a"b`: `a"b`, "-": "", "": "", "a\x00b": ""} {
		if got := decodeSchema(oneRow(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	for schema, want := range map[string]string{"": "public.heartbeat", "public": "public.heartbeat", "App": `"App".heartbeat`, `a"; b`: `"a""; b".heartbeat`} {
		if got := in(schema, "public.heartbeat"); got != want {
			t.Errorf("%q: %s", schema, got)
		}
	}
}

// An answer is of the server of the session unless it is known to be another's.
func TestFrom(t *testing.T) {
	known := cluster.Facts{Started: 7}
	for _, c := range []struct {
		identity cluster.Facts
		column   string
		want     bool
	}{
		{known, "7", true}, {known, "8", false}, {known, "-", true}, {known, "x", true}, {cluster.Facts{}, "8", true},
	} {
		if from(c.identity, columns(c.column), 0) != c.want {
			t.Errorf("%d and %s: %v", c.identity.Started, c.column, !c.want)
		}
	}
	if !from(known, nil, rowStarted) {
		t.Error("a short row is of no other server")
	}
}
