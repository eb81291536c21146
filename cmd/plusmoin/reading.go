package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/status"
)

// reading is a status file as it was read, and what is known beside it.
type reading struct {
	status.Document
	data   []byte // the file as it is
	words  map[int]word
	killed bool           // nobody keeps the file, though it tells of a plusmoin at work
	cfg    *config.Config // nil if there is none that can be used
}

// word is what stands behind the diagnosis of a cluster.
type word struct {
	SplitFrom *int      `json:"split_from"`
	Evidence  *evidence `json:"evidence"`
}

// evidence tells what those who streamed from a master noticed of its end.
type evidence struct {
	Hears    []string `json:"hears"`
	Cut      []string `json:"cut"`
	Silent   []string `json:"silent"`
	LastWord string   `json:"last_word"` // of the master's server
}

// wordsOf returns what is behind the diagnoses, by cluster. What cannot be read
// is left out: it explains, and decides nothing.
func wordsOf(data []byte) map[int]word {
	words := map[int]word{}
	var file struct {
		Clusters []json.RawMessage `json:"clusters"`
	}
	if json.Unmarshal(data, &file) != nil {
		return words
	}
	for _, text := range file.Clusters {
		var one struct {
			ID int `json:"cluster_id"`
			word
		}
		if json.Unmarshal(text, &one) == nil {
			words[one.ID] = one.word
		}
	}
	return words
}

// readStatus reads the status file at path. The time of one that tells none, as
// the Python plusmoin's, is that of the file.
func readStatus(path string) (reading, error) {
	before := daemonGone(path)
	data, info, err := status.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return reading{}, hinted{missingError(path), "plusmoin start starts it"}
	}
	if errors.Is(err, fs.ErrPermission) {
		return reading{}, hinted{fmt.Errorf("status file: %w", err), "its directory must let you in"}
	}
	if err != nil {
		return reading{}, hinted{fmt.Errorf("status file: %w", err), "see whether status_file names the right file"}
	}
	d, err := status.Parse(data)
	if err != nil {
		return reading{}, hinted{fmt.Errorf("%s: %w", path, err), "see whether status_file names the right file; plusmoin replaces it when it starts"}
	}
	if d.UpdatedAt.IsZero() {
		d.UpdatedAt = info.ModTime()
	}
	// One that was stopped or started while the file was read is not killed.
	after := daemonGone(path)
	killed := before && after && (d.State == status.Running || d.State == status.Starting)
	return reading{Document: d, data: data, words: wordsOf(data), killed: killed}, nil
}

// missingError is the path of a status file that is not there.
type missingError string

func (e missingError) Error() string   { return "plusmoin is not running: there is no " + string(e) }
func (e missingError) Is(t error) bool { return t == fs.ErrNotExist }

// nodes returns how many nodes the file lists.
func (r reading) nodes() int {
	n := len(r.Clusterless)
	for _, c := range r.Clusters {
		n += len(c.Slaves) + len(c.Lost)
		if c.Master != nil {
			n++
		}
	}
	return n
}

// behind says in a line what a diagnosis rests on, "" if that is not known.
func (r reading) behind(c cluster.Cluster) string {
	e := r.words[c.ID].Evidence
	if e == nil || c.HasMaster {
		return ""
	}
	text := fmt.Sprintf("hears it: %s; cut off: %s; silent: %s", some(e.Hears), some(e.Cut), some(e.Silent))
	if e.LastWord != "" {
		text += "; its last word: " + shorten(e.LastWord, 120)
	}
	return text
}

// some returns the first of many names.
func some(names []string) string {
	const most = 4
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// shorten returns a text of at most so many characters.
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(slices.Concat(runes[:most-3], []rune("...")))
}
