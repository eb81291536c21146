package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"plusmoin/cluster"
)

// decodeRow reads the row of the heartbeat table as to_jsonb gives it, with or
// without the column tstamp_us. fine tells whether there is such a column.
func decodeRow(text []byte) (row cluster.Row, fine bool, err error) {
	var columns map[string]json.RawMessage
	if err := json.Unmarshal(text, &columns); err != nil || columns == nil {
		return cluster.Row{}, false, badRow("it is no row")
	}
	id, err := number(columns, "cluster_id")
	if err != nil {
		return cluster.Row{}, false, err
	}
	seconds, err := number(columns, "tstamp")
	if err != nil {
		return cluster.Row{}, false, err
	}
	var master *string
	if err := json.Unmarshal(columns["master"], &master); err != nil || master == nil {
		return cluster.Row{}, false, badRow("column master must hold a text that is not null")
	}
	micros, fine := columns["tstamp_us"]
	row = cluster.Row{Cluster: validID(id), Master: cluster.CanonicalName(*master), Coarse: true}
	var us int64
	if fine && !bytes.Equal(micros, []byte("null")) {
		if us, err = number(columns, "tstamp_us"); err != nil {
			return cluster.Row{}, false, err
		}
		us = min(max(us, 0), 999_999)
		row.Coarse = false
	}
	row.Stamp = cluster.StampOf(seconds, int(us))
	return row, fine, nil
}

// number returns a column that must hold an integer.
func number(columns map[string]json.RawMessage, name string) (int64, error) {
	n, err := strconv.ParseInt(string(columns[name]), 10, 64)
	if err != nil {
		return 0, badRow(fmt.Sprintf("column %s must hold an integer that is not null", name))
	}
	return n, nil
}

func validID(id int64) int {
	if id < 0 || id > cluster.MaxCluster {
		return cluster.NoCluster
	}
	return int(id)
}

func badRow(text string) error {
	return wrong{cluster.ReasonMisconfigured, "the row of table heartbeat cannot be used: " + text}
}
