package story

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plusmoin/cluster"
	"plusmoin/status"
)

// patience is how long a story waits for what must happen.
const patience = 40 * time.Second

// Watch is what a story knows of one plusmoin, over all its runs.
type Watch struct {
	// Name is what the story calls a node, by its address in the configuration.
	Name map[string]string
	// EventsFile is where Recorder's triggers write.
	EventsFile string
	// StatusFile returns the bytes of status.json.
	StatusFile func() ([]byte, error)
	// Ended says how plusmoin ended, if it has.
	Ended func() error
	// Every is how often the story looks for what it waits for.
	Every time.Duration

	t      *testing.T
	read   int64   // of the file of events
	events []Event // all, in the order of their ids
	run    int     // where those of this run begin
	told   int     // where those begin that the story has not spoken of
}

// New returns a watch of the events in a file.
func New(t *testing.T, eventsFile string, statusFile func() ([]byte, error)) *Watch {
	return &Watch{t: t, Name: map[string]string{}, EventsFile: eventsFile, StatusFile: statusFile,
		Ended: func() error { return nil }, Every: 20 * time.Millisecond}
}

// Begin says that a new run of plusmoin begins: what was told before is over.
func (w *Watch) Begin() {
	w.t.Helper()
	w.events = w.list()
	w.run, w.told = len(w.events), len(w.events)
}

// Expect waits until these are told and checks that they, and nothing else, are
// all that was told since the story last spoke of events. Each is the kind, the
// cluster and, if it is about one, the node.
func (w *Watch) Expect(want ...string) {
	w.t.Helper()
	w.Poll(func() bool {
		w.events = w.list()
		return len(w.events)-w.told >= len(want)
	})
	got := []string{}
	for _, e := range w.events[w.told:] {
		got = append(got, w.prose(e))
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("told %q, want %q", got, want)
	}
	w.told = len(w.events)
}

// Last returns the event that was told last.
func (w *Watch) Last() Event { return w.events[len(w.events)-1] }

// Quiet lets plusmoin do some more rounds and checks that it tells nothing.
func (w *Watch) Quiet(rounds uint64) {
	w.t.Helper()
	until := w.Status().Round.Number + rounds
	w.Until("rounds go on", func(d status.Document) bool { return d.Round.Number >= until })
	w.Expect()
}

// Status returns what status.json says.
func (w *Watch) Status() status.Document {
	w.t.Helper()
	d, err := w.document()
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *Watch) document() (status.Document, error) {
	text, err := w.StatusFile()
	if err != nil {
		return status.Document{}, err
	}
	return status.Parse(text)
}

// Until waits for status.json to show something.
func (w *Watch) Until(what string, shown func(status.Document) bool) {
	w.t.Helper()
	if !w.Poll(func() bool {
		d, err := w.document()
		return err == nil && shown(d)
	}) {
		w.t.Fatalf("status.json within %v: never %s", patience, what)
	}
}

// UntilReason waits until status.json gives this reason for a node, "" for none.
func (w *Watch) UntilReason(name string, want cluster.Reason) {
	w.t.Helper()
	w.Until(name+" is "+cmp.Or(string(want), "well"), func(d status.Document) bool {
		got := d.Nodes[w.Address(name)].Reason
		return got == nil && want == "" || got != nil && *got == want
	})
}

// UntilDiagnosis waits until status.json gives this diagnosis of a cluster.
func (w *Watch) UntilDiagnosis(id int, want cluster.Diagnosis) {
	w.t.Helper()
	w.Until("the diagnosis "+string(want), func(d status.Document) bool {
		return slices.ContainsFunc(d.Clusters, func(c cluster.Cluster) bool { return c.ID == id && c.Diagnosis == want })
	})
}

// Detail returns what status.json says of a node.
func (w *Watch) Detail(name string) cluster.Detail {
	w.t.Helper()
	d, ok := w.Status().Nodes[w.Address(name)]
	if !ok {
		w.t.Fatalf("%s is not in status.json", name)
	}
	return d
}

// Address returns the address of the node of that name.
func (w *Watch) Address(name string) string {
	w.t.Helper()
	for address, n := range w.Name {
		if n == name {
			return address
		}
	}
	w.t.Fatalf("no node %s", name)
	return ""
}

// Poll asks until the answer is yes, or patience has ended. It ends the test if
// plusmoin has ended meanwhile.
func (w *Watch) Poll(yes func() bool) bool {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		switch {
		case yes():
			return true
		case time.Now().After(deadline):
			return false
		}
		if err := w.Ended(); err != nil {
			w.t.Fatal(err)
		}
		<-time.After(w.Every)
	}
}

// Picture is the clusters of a status.json in the words of a story, such as
// "0: m > s1 s2 (s3)", with the lost in parentheses, and at last, if there are
// any, the clusterless.
func (w *Watch) Picture(d status.Document) string {
	var lines []string
	for _, c := range d.Clusters {
		line := []string{fmt.Sprintf("%d:", c.ID)}
		if c.Master != nil {
			line = append(line, w.Name[AddressOf(*c.Master)])
		}
		line = append(line, ">")
		for _, n := range c.Slaves {
			line = append(line, w.Name[AddressOf(n)])
		}
		for _, n := range c.Lost {
			line = append(line, "("+w.Name[AddressOf(n)]+")")
		}
		lines = append(lines, strings.Join(line, " "))
	}
	if len(d.Clusterless) > 0 {
		line := "-:"
		for _, n := range d.Clusterless {
			line += " " + w.Name[AddressOf(n)]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// Shows checks the picture.
func (w *Watch) Shows(want string) {
	w.t.Helper()
	if got := w.Picture(w.Status()); got != want {
		w.t.Fatalf("status.json shows %q, want %q", got, want)
	}
}

// Close checks what must be true of a whole run that has ended in order: the
// story has spoken of all events, the last status.json is one of a plusmoin that
// was stopped and as documented, and shows what the events had told.
func (w *Watch) Close() {
	w.t.Helper()
	w.Expect()
	text, err := w.StatusFile()
	if err != nil {
		w.t.Fatal(err)
	}
	last := w.Status()
	if last.State != status.Stopped {
		w.t.Errorf("state %q in the last status.json, want stopped", last.State)
	}
	checkStatus(w.t, text)
	checkReplay(w.t, w.events[w.run:], last)
}

// Report returns all events, in the words of a story, for whom it has failed.
func (w *Watch) Report() string {
	w.t.Helper()
	var text strings.Builder
	w.events = w.list()
	for _, e := range w.events {
		fmt.Fprintf(&text, "event %d at %s: %s\n", e.EventID, e.Time.Format(time.StampMilli), w.prose(e))
	}
	fmt.Fprintf(&text, "names: %v", w.Name)
	return text.String()
}

// AddressOf returns the address of a node that is an entry of a document.
func AddressOf(e cluster.Entry) string { return cluster.Node{Host: e.Host, Port: e.Port}.String() }
