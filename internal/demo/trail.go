package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"plusmoin/cluster"
)

// told is an event as a trigger was told of it.
type told struct {
	cluster.Payload
	raw []byte    // the JSON that the trigger read
	at  time.Time // when the trigger had written it down
}

// event says what a trigger is about.
type event struct {
	kind    cluster.Kind
	cluster int
	node    string // host:port, "" if it is about the cluster
}

func (t told) event() event {
	return event{t.Payload.Event, t.ClusterID, entryName(t.Trigger)}
}

// entryName returns host:port of a node entry, "" for none.
func entryName(e *cluster.Entry) string {
	if e == nil {
		return ""
	}
	return cluster.Node{Host: e.Host, Port: e.Port}.String()
}

// trail reads the file to which the triggers append what they are told.
type trail struct {
	file *os.File
	rest []byte // of a line whose end is not there yet
}

func openTrail(path string) (*trail, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &trail{file: file}, nil
}

func (t *trail) close() error { return t.file.Close() }

// read returns what has come since the last call.
func (t *trail) read() ([]told, error) {
	fresh, err := io.ReadAll(t.file)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t.rest = append(t.rest, fresh...)
	var events []told
	for {
		line, rest, whole := bytes.Cut(t.rest, []byte("\n"))
		if !whole {
			return events, nil
		}
		t.rest = rest
		e := told{raw: line, at: now}
		if err := json.Unmarshal(line, &e.Payload); err != nil {
			return events, fmt.Errorf("what a trigger read is no JSON: %w: %q", err, line)
		}
		events = append(events, e)
	}
}
