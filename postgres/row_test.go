package postgres

import (
	"testing"

	"plusmoin/cluster"
)

// columns returns the columns of a row of which each word is one; - is a null.
func columns(words ...string) [][]byte {
	var row [][]byte
	for _, w := range words {
		if w == "-" {
			row = append(row, nil)
			continue
		}
		row = append(row, []byte(w))
	}
	return row
}

func TestDecodeRow(t *testing.T) {
	for _, c := range []struct {
		columns [][]byte
		want    cluster.Row
		fine    bool
	}{
		{columns("3", "a:1", "7", "8"), cluster.Row{Cluster: 3, Master: "a:1", Stamp: 7_000_008}, true},
		{columns("3", "a:1", "7", "-8"), cluster.Row{Cluster: 3, Master: "a:1", Stamp: 7_000_000}, true},
		{columns("3", "a:1", "7", "null"), cluster.Row{Cluster: 3, Master: "a:1", Stamp: 7_000_000, Coarse: true}, true},
		{columns("3", "::1:5432", "7", "-"), cluster.Row{Cluster: 3, Master: "[::1]:5432", Stamp: 7_000_000, Coarse: true}, false},
		{columns("-1", "", "0", "-"), cluster.Row{Cluster: cluster.NoCluster, Coarse: true}, false},
		{columns("2147483648", "", "0", "-"), cluster.Row{Cluster: cluster.NoCluster, Coarse: true}, false},
	} {
		row, fine, err := decodeRow(c.columns)
		if err != nil || row != c.want || fine != c.fine {
			t.Errorf("%q: %+v %v %v", c.columns, row, fine, err)
		}
	}
}

func TestDecodeBadRow(t *testing.T) {
	for _, columns := range [][][]byte{
		columns("-", "a:1", "7", "8"),
		columns("null", "a:1", "7", "8"),
		columns("1", "-", "7", "8"),
		columns("1", "a:1", "null", "8"),
		columns(`"1"`, "a:1", "7", "8"),
		columns("1.5", "a:1", "7", "8"),
		columns("1", "a:1", "7.5", "8"),
		columns("1", "a:1", "7", `"x"`),
	} {
		_, _, err := decodeRow(columns)
		if err == nil || classify(err).reason != cluster.ReasonMisconfigured {
			t.Errorf("%q: %v", columns, err)
		}
	}
}

// A row that is shorter than what was asked for is no row of the table.
func TestDecodeShortRow(t *testing.T) {
	for _, columns := range [][][]byte{nil, columns("1"), columns("1", "a:1"), columns("1", "a:1", "7")} {
		_, _, err := decodeRow(columns)
		if err == nil || classify(err).reason != cluster.ReasonBadAnswer {
			t.Errorf("%q: %v", columns, err)
		}
	}
}

func TestDecodeRole(t *testing.T) {
	yes, no := []string{"t", "true", "1", "on", " TRUE ", "2"}, []string{"f", "false", "0", "off"}
	for i, texts := range [][]string{no, yes} {
		for _, text := range texts {
			slave, err := decodeRole(reply{rows: [][][]byte{{[]byte(text)}}})
			if err != nil || slave != (i == 1) {
				t.Errorf("%q: %v %v", text, slave, err)
			}
		}
	}
	for _, rows := range [][][][]byte{nil, {{nil}}, {{[]byte("t")}, {[]byte("t")}}, {{[]byte("t"), []byte("t")}}, {{[]byte("maybe")}}} {
		if _, err := decodeRole(reply{rows: rows}); classify(err).reason != cluster.ReasonBadAnswer {
			t.Errorf("%q: %v", rows, err)
		}
	}
}

// FuzzRow feeds rows as a server, or whatever sits on its port, may send them.
func FuzzRow(f *testing.F) {
	f.Add("3", "::1:5432", "7", "8", 4)
	f.Add("-3", "", "9223372036854775807", "-1", 4)
	f.Add("3", "m:1", "7", "null", 4)
	f.Add("", "", "", "", 0)
	f.Fuzz(func(t *testing.T, id, master, seconds, micros string, width int) {
		row, fine, err := decodeRow(columns(id, master, seconds, micros)[:min(max(width, 0), 4)])
		if err != nil {
			if row != (cluster.Row{}) || classify(err).text == "" {
				t.Errorf("%+v with %v", row, err)
			}
			return
		}
		if row.Cluster < cluster.NoCluster || row.Cluster > cluster.MaxCluster || row.Stamp < 0 {
			t.Errorf("out of range: %+v", row)
		}
		if row.Master != cluster.CanonicalName(row.Master) {
			t.Errorf("name %q is not canonical", row.Master)
		}
		if fine != (width >= 4 && micros != "-") || row.Coarse != (!fine || micros == "null") {
			t.Errorf("fine %v, coarse %v", fine, row.Coarse)
		}
	})
}
