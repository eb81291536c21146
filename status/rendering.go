package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"plusmoin/cluster"
)

// rendering writes documents as encode does, byte for byte, but takes what has
// not changed since the last one from there: rounds come many times a second, and
// in most of them nothing is new but times. Its zero value is ready; it is for one
// goroutine.
type rendering struct {
	frame Document // the last one, without what is new every time
	parts [][]byte // of its text, around that
	names []string // of its nodes, sorted
	nodes map[string]rendered
	text  []byte // of the last document, used again
}

// rendered is one node as it was written last.
type rendered struct {
	detail cluster.Detail // without what is new every time
	parts  [][]byte       // of its text, around that
}

// renderedAtMost is up to how many nodes are kept: a round of more takes so much
// longer than this that it would not be worth the memory.
const renderedAtMost = 100

// encode writes the document as one line of JSON, in one piece.
func (r *rendering) encode(w io.Writer, d Document) error {
	if len(d.Nodes) > renderedAtMost {
		*r = rendering{}
		return d.encode(w)
	}
	if err := r.renew(d.withLists()); err != nil {
		return err
	}
	text, err := r.assemble(r.text[:0], d)
	if err != nil {
		return err
	}
	r.text = text
	_, err = w.Write(text)
	return err
}

// renew renders anew what differs from the last document.
func (r *rendering) renew(d Document) error {
	frame := d
	frame.UpdatedAt, frame.Round, frame.Nodes = time.Time{}, Round{}, map[string]cluster.Detail{}
	frame.Snapshot.Round, frame.Took, frame.At = 0, 0, time.Time{} // which are not written
	if r.parts == nil || !reflect.DeepEqual(frame, r.frame) {
		parts, err := render(frame, `"updated_at":"0001-01-01T00:00:00Z"`, `"round":{"number":0,"duration_ms":0}`, `"nodes":{}`)
		if err != nil {
			return err
		}
		r.frame, r.parts = frame, parts
	}
	if !r.has(d.Nodes) {
		r.names, r.nodes = slices.Sorted(maps.Keys(d.Nodes)), make(map[string]rendered, len(d.Nodes))
	}
	for name, detail := range d.Nodes {
		detail.Timestamp, detail.LatencyMS = nil, nil
		if last, ok := r.nodes[name]; ok && reflect.DeepEqual(detail, last.detail) {
			continue
		}
		parts, err := render(map[string]cluster.Detail{name: detail}, `"timestamp":null`, `"latency_ms":null`)
		if err != nil {
			return err
		}
		parts[0] = parts[0][1:] // what encloses the node
		parts[2] = parts[2][:len(parts[2])-1]
		r.nodes[name] = rendered{detail, parts}
	}
	return nil
}

// has reports whether the nodes are those of the last document.
func (r *rendering) has(nodes map[string]cluster.Detail) bool {
	if len(nodes) != len(r.names) {
		return false
	}
	return !slices.ContainsFunc(r.names, func(name string) bool { _, ok := nodes[name]; return !ok })
}

// assemble puts a document together.
func (r *rendering) assemble(text []byte, d Document) ([]byte, error) {
	at, err := d.UpdatedAt.MarshalJSON()
	if err != nil {
		return nil, err
	}
	text = append(append(text, r.parts[0]...), `"updated_at":`...)
	text = append(append(text, at...), r.parts[1]...)
	text = append(text, `"round":{"number":`...)
	text = append(strconv.AppendUint(text, d.Round.Number, 10), `,"duration_ms":`...)
	text = append(appendNumber(text, &d.Round.DurationMS), '}')
	text = append(append(text, r.parts[2]...), `"nodes":{`...)
	for i, name := range r.names {
		if i > 0 {
			text = append(text, ',')
		}
		detail, parts := d.Nodes[name], r.nodes[name].parts
		text = append(append(text, parts[0]...), `"timestamp":`...)
		text = append(appendNumber(text, detail.Timestamp), parts[1]...)
		text = append(text, `"latency_ms":`...)
		text = append(appendNumber(text, detail.LatencyMS), parts[2]...)
	}
	text = append(append(text, '}'), r.parts[3]...)
	return append(text, '\n'), nil
}

var errNoHole = errors.New("a key of the status file is not where it was")

// render returns the JSON of v, cut at the holes. Each is a key with its value,
// and so in no string: there its quotes would be escaped.
func render(v any, holes ...string) (parts [][]byte, err error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	rest := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	for _, hole := range holes {
		before, after, found := bytes.Cut(rest, []byte(hole))
		if !found {
			return nil, errNoHole
		}
		parts, rest = append(parts, before), after
	}
	return append(parts, rest), nil
}

// appendNumber appends a number as the encoder of JSON writes it, null for nil.
func appendNumber(text []byte, n *float64) []byte {
	if n == nil {
		return append(text, "null"...)
	}
	if size := math.Abs(*n); size == 0 || size >= 1e-6 && size < 1e21 {
		return strconv.AppendFloat(text, *n, 'f', -1, 64)
	}
	other, err := json.Marshal(*n)
	if err != nil { // no number at all
		return append(text, "null"...)
	}
	return append(text, other...)
}
