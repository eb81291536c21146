package cluster

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Flag is a fact that is true, false or not known.
type Flag uint8

// The values of a Flag.
const (
	NotKnown Flag = iota
	No
	Yes
)

// FlagOf returns Yes or No.
func FlagOf(b bool) Flag {
	if b {
		return Yes
	}
	return No
}

// MarshalJSON writes true, false or null.
func (f Flag) MarshalJSON() ([]byte, error) {
	switch f {
	case Yes:
		return []byte("true"), nil
	case No:
		return []byte("false"), nil
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads true, false or null.
func (f *Flag) UnmarshalJSON(data []byte) error {
	var b *bool
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}
	*f = NotKnown
	if b != nil {
		*f = FlagOf(*b)
	}
	return nil
}

// LSN is a position in the write-ahead log. 0 is not known.
type LSN uint64

// String returns the position as PostgreSQL writes it, such as 16/B374D848.
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l))
}

// Facts is what a node says of itself beside its role and its row. A zero
// field is not known: the role may not see it or its statement failed.
type Facts struct {
	// These are read once a connection.
	SystemID      uint64 // of pg_control_system
	ServerVersion int    // as server_version_num, such as 150018
	Started       int64  // start of the postmaster, microseconds since 1970
	ServerAddr    string // address the server was reached at, "" over a Unix socket
	ServerPort    int

	Timeline     uint32
	LSN          LSN // written on a master; received or replayed, whichever is further, on a slave
	ReplayLSN    LSN // slaves only
	Receiver     Receiver
	ReplayPaused Flag // slaves only
	SyncBlocked  Flag // masters only: commits wait for a synchronous standby that is not there
}

// Receiver is what a slave's WAL receiver says. Without Known the role may not
// see it, which is not the same as a slave that has none.
type Receiver struct {
	Known       bool
	Running     bool
	Upstream    string // host:port it streams from, in the words of primary_conninfo
	LastMessage int64  // when it last heard from there, microseconds since 1970 by its own clock
	Received    LSN
}

func formatSystem(id uint64) string { return strconv.FormatUint(id, 10) }
