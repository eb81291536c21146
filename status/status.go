// Package status writes the status file, which programs and people read to
// learn of all nodes, and reads it back.
//
//	file, err := status.NewFile(path, log)
//	file.Write(document)   // after every round
//	file.Close()           // the last document once more, as stopped
//
// The package hides the disk. A reader of the file never sees half a document,
// not even when this process is killed or the disk is full; and whoever calls
// Write is never held up by a disk for more than a second, nor told of its
// errors: they are logged and counted.
package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"plusmoin/cluster"
)

// State is what plusmoin is doing.
type State string

// The states.
const (
	Starting State = "starting" // looks at its nodes, runs no triggers yet
	Running  State = "running"
	Stopped  State = "stopped" // has ended; the rest of the document is the last it knew
)

// Document is what the status file holds.
type Document struct {
	Version   string    `json:"version"`
	State     State     `json:"state"`
	UpdatedAt time.Time `json:"updated_at"`
	Heartbeat float64   `json:"heartbeat"` // seconds
	Round     Round     `json:"round"`
	Config    Config    `json:"config"`
	cluster.Snapshot
}

// Round is the round that the document shows.
type Round struct {
	Number     uint64  `json:"number"` // from 1
	DurationMS float64 `json:"duration_ms"`
}

// Config says which configuration is in force.
type Config struct {
	LoadedAt time.Time `json:"loaded_at"`
	Error    *string   `json:"error"`    // why the last reload was refused, nil if it was not
	TriedAt  time.Time `json:"tried_at"` // when the last reload ended, refused or not; at first, LoadedAt
	Restart  []string  `json:"restart"`  // keys that wait for a restart
}

// encode writes the document as one line of JSON.
func (d Document) encode(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(d.withLists())
}

// withLists returns the document with empty lists for missing ones, which
// would be null in JSON. It leaves what it was given as it is.
func (d Document) withLists() Document {
	d.Config.Restart = orEmpty(d.Config.Restart)
	d.Clusterless = orEmpty(d.Clusterless)
	d.Warnings = orEmpty(d.Warnings)
	d.Clusters = orEmpty(d.Clusters)
	if d.Nodes == nil {
		d.Nodes = map[string]cluster.Detail{}
	}
	lacking := func(c cluster.Cluster) bool { return c.Slaves == nil || c.Lost == nil }
	if slices.ContainsFunc(d.Clusters, lacking) {
		d.Clusters = slices.Clone(d.Clusters)
		for i := range d.Clusters {
			c := &d.Clusters[i]
			c.Slaves, c.Lost = orEmpty(c.Slaves), orEmpty(c.Lost)
		}
	}
	return d
}

func orEmpty[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}

// Read returns the document in the file at path. Keys it does not know are
// passed over and keys that are missing are zero, as in the file of another
// version. An error says that there is no file, or that it is no status file.
func Read(path string) (Document, error) {
	data, _, err := ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	d, err := Parse(data)
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Parse returns the document in the content of a status file, as Read does.
func Parse(data []byte) (Document, error) {
	d, err := decode(data)
	if err != nil {
		return Document{}, fmt.Errorf("not a status file: %w", err)
	}
	return d, nil
}

// decode demands what every version of plusmoin has written: the clusters and
// the clusterless nodes. Lists that the document lacks are empty, not nil.
func decode(data []byte) (Document, error) {
	var d Document
	if err := json.Unmarshal(data, &d); err != nil {
		return Document{}, err
	}
	if d.Clusters == nil || d.Clusterless == nil {
		return Document{}, errors.New("it lists no clusters or no clusterless nodes")
	}
	return d.withLists(), nil
}
