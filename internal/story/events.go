package story

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"plusmoin/cluster"
)

// Event is what a trigger has read.
type Event = cluster.Payload

// Recorder returns triggers, one for each event, that append what they read to a
// file, each in a single write, so that those of two clusters do not mix.
func Recorder(file string) map[string]any { return Triggers(Appender(file)) }

// Triggers returns a trigger for each event that runs the command.
func Triggers(command any) map[string]any {
	triggers := map[string]any{}
	for _, k := range cluster.Kinds() {
		triggers[string(k)] = command
	}
	return triggers
}

// Appender returns the command of Recorder's triggers.
func Appender(file string) []string {
	return []string{"dd", "of=" + file, "oflag=append", "conv=notrunc", "bs=4M", "iflag=fullblock", "status=none"}
}

// list returns all events told so far, but for the heartbeats, by their ids.
// Triggers of different clusters run side by side, so the order in which they
// wrote says little. Every payload is checked against the contract.
func (w *Watch) list() []Event {
	w.t.Helper()
	text, err := os.ReadFile(w.EventsFile)
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	fresh := text[w.read : bytes.LastIndexByte(text, '\n')+1]
	w.read += int64(len(fresh))
	events := slices.Clone(w.events)
	for line := range bytes.Lines(fresh) {
		checkPayload(w.t, line)
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("a trigger read %s: %v", line, err)
		}
		if e.Event != cluster.PlusmoinHeartbeat {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.EventID, b.EventID) })
	for i := range events[min(1, len(events)):] {
		if events[i].EventID == events[i+1].EventID {
			w.t.Fatalf("two events have the id %d", events[i].EventID)
		}
	}
	return events
}

// prose is an event in the words of a story: kind, cluster, node.
func (w *Watch) prose(e Event) string {
	text := fmt.Sprintf("%s %d", e.Event, e.ClusterID)
	if e.Trigger != nil {
		address := AddressOf(*e.Trigger)
		text += " " + cmp.Or(w.Name[address], address)
	}
	return text
}
