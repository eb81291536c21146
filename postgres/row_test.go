package postgres

import (
	"testing"

	"plusmoin/cluster"
)

func TestDecodeRow(t *testing.T) {
	for _, c := range []struct {
		text string
		want cluster.Row
		fine bool
	}{
		{`{"cluster_id": 3, "master": "a:1", "tstamp": 7, "tstamp_us": 8}`, cluster.Row{Cluster: 3, Master: "a:1", Stamp: 7_000_008}, true},
		{`{"cluster_id": 3, "master": "a:1", "tstamp": 7, "tstamp_us": null}`, cluster.Row{Cluster: 3, Master: "a:1", Stamp: 7_000_000, Coarse: true}, true},
		{`{"cluster_id": 3, "master": "::1:5432", "tstamp": 7}`, cluster.Row{Cluster: 3, Master: "[::1]:5432", Stamp: 7_000_000, Coarse: true}, false},
		{`{"cluster_id": -1, "master": "-", "tstamp": 0}`, cluster.Row{Cluster: cluster.NoCluster, Master: "-", Coarse: true}, false},
		{`{"cluster_id": 2147483648, "master": "-", "tstamp": 0}`, cluster.Row{Cluster: cluster.NoCluster, Master: "-", Coarse: true}, false},
	} {
		row, fine, err := decodeRow([]byte(c.text))
		if err != nil || row != c.want || fine != c.fine {
			t.Errorf("%s: %+v %v %v", c.text, row, fine, err)
		}
	}
}

func TestDecodeBadRow(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{}`,
		`{"cluster_id": null, "master": "a:1", "tstamp": 7}`,
		`{"cluster_id": 1, "master": null, "tstamp": 7}`,
		`{"cluster_id": 1, "master": "a:1", "tstamp": null}`,
		`{"cluster_id": "1", "master": "a:1", "tstamp": 7}`,
		`{"cluster_id": 1, "master": 5, "tstamp": 7}`,
		`{"cluster_id": 1, "master": "a:1", "tstamp": 7.5}`,
		`{"cluster_id": 1, "master": "a:1", "tstamp": 7, "tstamp_us": "x"}`,
		`{"Cluster_ID": 1, "master": "a:1", "tstamp": 7}`,
	} {
		_, _, err := decodeRow([]byte(text))
		if err == nil || classify(err).reason != cluster.ReasonMisconfigured {
			t.Errorf("%s: %v", text, err)
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
	f.Add([]byte(`{"cluster_id": 3, "master": "::1:5432", "tstamp": 7, "tstamp_us": 8}`))
	f.Add([]byte(`{"cluster_id": -3, "master": "", "tstamp": 9223372036854775807, "tstamp_us": -1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		row, fine, err := decodeRow(text)
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
		if !fine && !row.Coarse {
			t.Error("fractions from nowhere")
		}
	})
}
