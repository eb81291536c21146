package postgres

import (
	"fmt"
	"strconv"

	"plusmoin/cluster"
)

// The columns of rowSQL.
const (
	rowID = iota
	rowMaster
	rowSeconds
	rowMicros
)

// decodeRow reads what rowSQL gives of the row of the heartbeat table. fine
// tells whether the table has the column tstamp_us.
func decodeRow(columns [][]byte) (row cluster.Row, fine bool, err error) {
	if len(columns) <= rowMicros {
		return cluster.Row{}, false, wrong{cluster.ReasonBadAnswer, "the answer for the row of table heartbeat lacks columns"}
	}
	id, err := number(columns, rowID, "cluster_id")
	if err != nil {
		return cluster.Row{}, false, err
	}
	seconds, err := number(columns, rowSeconds, "tstamp")
	if err != nil {
		return cluster.Row{}, false, err
	}
	if null(columns, rowMaster) {
		return cluster.Row{}, false, badRow("column master must hold a text that is not null")
	}
	fine = !null(columns, rowMicros)
	coarse, us := !fine || field(columns, rowMicros) == "null", int64(0)
	if !coarse {
		if us, err = number(columns, rowMicros, "tstamp_us"); err != nil {
			return cluster.Row{}, false, err
		}
	}
	return cluster.Row{
		Cluster: validID(id),
		Master:  cluster.CanonicalName(name(field(columns, rowMaster))),
		Stamp:   cluster.StampOf(seconds, int(min(max(us, 0), 999_999))),
		Coarse:  coarse,
	}, fine, nil
}

// number returns a column that must hold an integer.
func number(columns [][]byte, i int, name string) (int64, error) {
	n, err := strconv.ParseInt(field(columns, i), 10, 64)
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
