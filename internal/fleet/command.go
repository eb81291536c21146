package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Usage tells the commands that Do knows.
const Usage = `A command is a word, the nodes it is for, and what more it needs:

  hang NODES              take requests and connections and answer nothing
  slow NODES DURATION     think that long about every request
  reset NODES             drop all connections, once
  down NODES              drop all connections and every new one
  refuse NODES SQLSTATE   refuse new sessions
  garbage NODES           answer nonsense
  big NODES BYTES         give a heartbeat row of that size
  seal NODES              refuse beats as a read-only server does
  thaw NODES              be healthy again, and answer what is waiting
  promote NODES           become a master
  follow NODES NODE       become a slave, with all the data of that node
  lag NODES DURATION      show beats that much later than they come
  row NODES ID MASTER SECONDS MICROSECONDS  set the heartbeat row
  show NODE               tell its row, ID MASTER SECONDS MICROSECONDS
  count NODES             count nodes and open connections

NODES are clusters, or clusters and members of them: 7, 7.0 (its first node,
at the beginning the master), 0-332, *.1-2, * for all.
`

// Do executes a command and returns how many nodes it was for, or what it
// counted. The error says what is wrong with it; then nothing was done.
func (f *Fleet) Do(command string) (string, error) {
	words := strings.Fields(command)
	if len(words) < 2 {
		return "", fmt.Errorf("%q is no command and nodes", command)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes, err := f.pick(words[1])
	if err != nil {
		return "", err
	}
	switch words[0] {
	case "count":
		return count(nodes), nil
	case "show":
		return show(nodes)
	}
	act, err := f.action(words[0], nodes, words[2:])
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		act(n)
	}
	return strconv.Itoa(len(nodes)), nil
}

func count(nodes []*node) string {
	open := 0
	for _, n := range nodes {
		open += len(n.conns)
	}
	return fmt.Sprintf("%d nodes %d connections", len(nodes), open)
}

func show(nodes []*node) (string, error) {
	if len(nodes) != 1 {
		return "", fmt.Errorf("show is for one node, not for %d", len(nodes))
	}
	nodes[0].replay(time.Now())
	r := nodes[0].row
	return fmt.Sprintf("%d %s %d %d", r.cluster, r.master, r.seconds, r.micros), nil
}

// action returns what a command does to each node.
func (f *Fleet) action(verb string, nodes []*node, more []string) (func(*node), error) {
	wanted := map[string]int{"slow": 1, "refuse": 1, "big": 1, "follow": 1, "lag": 1, "row": 4}[verb]
	if len(more) != wanted {
		return nil, fmt.Errorf("%s needs %d words after the nodes, not %d", verb, wanted, len(more))
	}
	now := time.Now()
	switch verb {
	case "hang":
		return func(n *node) { n.fault.hung = now }, nil
	case "reset":
		return (*node).reset, nil
	case "down":
		return func(n *node) { n.fault.down = true; n.reset() }, nil
	case "refuse":
		return func(n *node) { n.fault.refusal = more[0] }, nil
	case "garbage":
		return func(n *node) { n.fault.garbage = true }, nil
	case "seal":
		return func(n *node) { n.fault.sealed = true }, nil
	case "thaw":
		return func(n *node) { n.thaw(now) }, nil
	case "promote":
		return func(n *node) { n.promote(now) }, nil
	case "slow", "lag":
		return timed(verb, more[0], now)
	case "big":
		size, err := strconv.ParseUint(more[0], 10, 31)
		return func(n *node) { n.fault.big = int(size) }, err
	case "follow":
		return f.following(nodes, more[0])
	case "row":
		return rowSetting(more, now)
	}
	return nil, fmt.Errorf("there is no command %q", verb)
}

func timed(verb, text string, now time.Time) (func(*node), error) {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("%s: below 0", text)
	}
	if verb == "slow" {
		return func(n *node) { n.fault.slow = d }, err
	}
	return func(n *node) { n.setLag(d, now) }, err
}

// following refuses to make a circle, in which a beat would go round for ever.
func (f *Fleet) following(nodes []*node, text string) (func(*node), error) {
	up, err := f.pick(text)
	if err != nil {
		return nil, err
	}
	if len(up) != 1 {
		return nil, fmt.Errorf("%s are %d nodes, and only one can be followed", text, len(up))
	}
	for above := up[0]; above != nil; above = above.upstream {
		if slices.Contains(nodes, above) {
			return nil, fmt.Errorf("%s follows one of the nodes, or is one of them", text)
		}
	}
	return func(n *node) { n.follow(up[0]) }, nil
}

func rowSetting(words []string, now time.Time) (func(*node), error) {
	id, err := strconv.Atoi(words[0])
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return nil, err
	}
	micros, err := strconv.Atoi(words[3])
	return func(n *node) { n.write(row{id, words[1], seconds, micros}, now) }, err
}

// pick returns the nodes that a text names.
func (f *Fleet) pick(text string) ([]*node, error) {
	clusters, members, _ := strings.Cut(text, ".")
	if members == "" {
		members = "*"
	}
	size := f.slaves + 1
	fromCluster, toCluster, err := span(clusters, (len(f.nodes)-1)/size)
	if err != nil {
		return nil, err
	}
	fromMember, toMember, err := span(members, f.slaves)
	if err != nil {
		return nil, err
	}
	var nodes []*node
	for c := fromCluster; c <= toCluster; c++ {
		for m := fromMember; m <= toMember && c*size+m < len(f.nodes); m++ {
			nodes = append(nodes, f.nodes[c*size+m])
		}
	}
	return nodes, nil
}

// span reads "7", "3-9" or "*" of numbers from 0 to last.
func span(text string, last int) (from, to int, err error) {
	if text == "*" {
		return 0, last, nil
	}
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || from < 0 || to < from || to > last {
		return 0, 0, fmt.Errorf("%q: not *, a number or a range within 0-%d", text, last)
	}
	return from, to, nil
}
