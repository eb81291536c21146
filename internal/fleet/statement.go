package fleet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// statement is one that the fleet answers.
type statement struct {
	parameters []uint32 // their types
	columns    []pgproto3.FieldDescription
	run        func(*conn) bool // sends the answer; false ends the session
}

// recognise returns what answers a statement of package postgres, nil for any
// other.
func recognise(sql string) *statement {
	switch {
	case sql == "SELECT pg_is_in_recovery()":
		return query(1, (*node).role)
	case strings.HasPrefix(sql, "SELECT r OPERATOR(pg_catalog.->) 'cluster_id', "):
		return &statement{columns: columns(4), run: (*conn).showRow}
	case strings.HasPrefix(sql, "UPDATE public.heartbeat SET cluster_id = $1, master = $2, tstamp = $3, tstamp_us = $4"):
		const integer, text, bigint = 23, 25, 20
		return &statement{parameters: []uint32{integer, text, bigint, integer}, run: (*conn).writeBeat}
	case strings.Contains(sql, "pg_stat_get_wal_receiver()"):
		return query(13, (*node).facts)
	case strings.Contains(sql, "FROM pg_catalog.pg_control_system()"):
		return query(1, (*node).systemID)
	case strings.Contains(sql, "pg_postmaster_start_time()"):
		return &statement{columns: columns(4), run: (*conn).showServer}
	}
	return nil
}

// query is a statement with one row for its answer.
func query(width int, answer func(*node, time.Time) [][]byte) *statement {
	return &statement{columns: columns(width), run: func(c *conn) bool {
		c.fleet.mu.Lock()
		values := answer(c.node, time.Now())
		c.fleet.mu.Unlock()
		return c.show(values)
	}}
}

func columns(n int) []pgproto3.FieldDescription {
	const text = 25
	fields := make([]pgproto3.FieldDescription, n)
	for i := range fields {
		fields[i] = pgproto3.FieldDescription{Name: []byte("column"), DataTypeOID: text, DataTypeSize: -1, TypeModifier: -1}
	}
	return fields
}

func (c *conn) show(values [][]byte) bool {
	c.backend.Send(&pgproto3.DataRow{Values: values})
	c.complete("SELECT 1")
	return true
}

func (n *node) role(time.Time) [][]byte { return texts(flag(n.upstream != nil)) }

func (n *node) systemID(time.Time) [][]byte { return texts(strconv.FormatUint(n.system, 10)) }

// facts are in the order of the columns that package postgres asks for: what a
// master has, then positions, then the WAL receiver.
func (n *node) facts(now time.Time) [][]byte {
	n.replay(now)
	if n.upstream == nil {
		file := fmt.Sprintf("%08X0000000000000003", n.timeline)
		return texts("f", file, lsn(n.beats), "", "", "f", "", "", "", "", "", "", "")
	}
	received := lsn(n.beats + len(n.pending))
	values := texts("t", "", received, lsn(n.beats), "f", "", "", "", "", "", "", "", "")
	up := n.upstream
	if up.fault.down || up.system != n.system {
		return values
	}
	heard := now
	if !up.fault.hung.IsZero() {
		heard = up.fault.hung
	}
	copy(values[6:], texts(strconv.Itoa(n.index+1), "streaming", strconv.Itoa(n.timeline), received,
		strconv.FormatInt(heard.UnixMicro(), 10), up.address.Addr().String(), strconv.Itoa(int(up.address.Port()))))
	return values
}

// showServer gives every node a start of its own, lest two of a cluster be
// taken for one server.
func (c *conn) showServer() bool {
	started := c.fleet.started.UnixMicro() + int64(c.node.index)
	return c.show(texts("150018", strconv.FormatInt(started, 10),
		c.node.address.Addr().String(), strconv.Itoa(int(c.node.address.Port()))))
}

func (c *conn) showRow() bool {
	c.fleet.mu.Lock()
	c.node.replay(time.Now())
	r, big := c.node.row, c.node.fault.big
	c.fleet.mu.Unlock()
	if big > 0 {
		return c.flood(big)
	}
	return c.show([][]byte{
		strconv.AppendInt(nil, int64(r.cluster), 10), []byte(r.master),
		strconv.AppendInt(nil, r.seconds, 10), strconv.AppendInt(nil, int64(r.micros), 10),
	})
}

// flood sends a row of one column of size bytes, without ever holding it. The
// client need not read it all.
func (c *conn) flood(size int) bool {
	if c.backend.Flush() != nil {
		return false
	}
	head := []byte{'D'}
	head = binary.BigEndian.AppendUint32(head, uint32(size)+10)
	head = binary.BigEndian.AppendUint16(head, 1)
	head = binary.BigEndian.AppendUint32(head, uint32(size))
	if _, err := c.raw.Write(head); err != nil {
		return false
	}
	var water [1 << 15]byte
	for rest := size; rest > 0; {
		n, err := c.raw.Write(water[:min(rest, len(water))])
		if err != nil {
			return false
		}
		rest -= n
	}
	c.complete("SELECT 1")
	return true
}

func (c *conn) writeBeat() bool {
	c.fleet.mu.Lock()
	readOnly := c.node.upstream != nil || c.node.fault.sealed
	if !readOnly {
		c.node.write(c.beat, time.Now())
	}
	c.fleet.mu.Unlock()
	if readOnly {
		c.refuse("25006", "cannot execute UPDATE in a read-only transaction")
		return true
	}
	c.complete("UPDATE 1")
	return true
}

// decodeBeat reads the parameters of a beat: id, name, seconds, microseconds.
func decodeBeat(p [][]byte) (row, error) {
	id, err1 := strconv.Atoi(string(p[0]))
	seconds, err2 := strconv.ParseInt(string(p[2]), 10, 64)
	micros, err3 := strconv.Atoi(string(p[3]))
	return row{id, string(p[1]), seconds, micros}, errors.Join(err1, err2, err3)
}

// texts makes a row of texts; "" is null.
func texts(values ...string) [][]byte {
	row := make([][]byte, len(values))
	for i, v := range values {
		if v != "" {
			row[i] = []byte(v)
		}
	}
	return row
}

func flag(b bool) string {
	if b {
		return "t"
	}
	return "f"
}
