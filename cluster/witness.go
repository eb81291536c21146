package cluster

import "slices"

// witness is what a slave shows of a master that it streamed from itself when
// both were last in order.
type witness struct {
	of    string // name of that master, "" if there is none
	asked bool   // shown is of this failure of the master
	shown Receiver
}

// testimony is what a witness says of its master.
type testimony uint8

const (
	noWitness testimony = iota
	hears               // there was news since the master failed
	cut                 // it answers and has no receiver from the master
	silent
)

// testify asks a member other than the cluster's master, or its last, of that
// master, and keeps what it shows for the next round. Only news proves that a
// slave hears, against what it showed at its first answer since the master
// failed: that it streams proves nothing.
func (t *roundDraft) testify(n *nodeState, c *clusterState, known *names) testimony {
	w, r := &n.witness, n.facts.Receiver
	if t.masterAnswers(c) {
		w.asked = false
		if c.master != none && !t.nodes[c.master].failing && n.answersSlave() {
			w.note(n, c, known)
		}
		return noWitness
	}
	switch {
	case w.of != c.last:
		return noWitness
	case !n.answers():
		return silent
	case !n.slave:
		return cut
	case !w.asked || !w.shown.Known:
		w.asked, w.shown = true, r
	}
	switch {
	case !r.Known:
		return silent
	case !r.Running || known.relays(r.Upstream, c):
		return cut
	case r.LastMessage > w.shown.LastMessage || r.Received > w.shown.Received:
		return hears
	}
	return silent
}

// note keeps whether a slave in order streams from the master. Where the role may
// not see that, it does if its row says so. One that has no receiver just now is
// not in order.
func (w *witness) note(n *nodeState, c *clusterState, known *names) {
	r := n.facts.Receiver
	switch {
	case r.Known && r.Running && known.relays(r.Upstream, c):
		w.of = ""
	case r.Known && r.Running, !r.Known && n.follows(c):
		w.of = c.last
	}
}

// masterAnswers reports whether a cluster's master, or its last, answers as a
// member of it.
func (t *roundDraft) masterAnswers(c *clusterState) bool {
	last := t.at(c.last)
	return last != none && t.nodes[last].cluster == c.id && t.nodes[last].answers()
}

// names are the nodes by what slaves may call them: name or address. They are
// collected when first asked for: most slaves call their master by its name.
type names struct {
	t     *roundDraft
	found map[string][]string
}

// relays reports whether an upstream is a configured node and not the cluster's
// master. One that is known by no name or address may be the master under a name
// of its own: to call that master dead would be to say more than is known.
func (k *names) relays(upstream string, c *clusterState) bool {
	if upstream == c.last {
		return false
	}
	if k.found == nil {
		k.collect()
	}
	called := k.found[upstream]
	return len(called) > 0 && !slices.Contains(called, c.last)
}

func (k *names) collect() {
	k.found = make(map[string][]string, 2*len(k.t.nodes))
	for i := range k.t.nodes {
		n := &k.t.nodes[i]
		k.found[n.name] = append(k.found[n.name], n.name)
		addr := Node{n.facts.ServerAddr, n.facts.ServerPort}.String()
		if n.facts.ServerAddr != "" && addr != n.name {
			k.found[addr] = append(k.found[addr], n.name)
		}
	}
}

// lastWord returns the last that was said by or of a cluster's last master, nil
// if nothing is known.
func (t *roundDraft) lastWord(c *clusterState) *string {
	last := t.at(c.last)
	if last == none || t.nodes[last].cluster != c.id || t.nodes[last].trouble.reason == NoReason {
		return nil
	}
	said := t.nodes[last].trouble
	word := string(said.reason)
	if said.text != "" {
		word += ": " + said.text
	}
	return &word
}
