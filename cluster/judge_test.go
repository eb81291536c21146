package cluster_test

import (
	"maps"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"

	"plusmoin/cluster"
)

// judgeShape checks a snapshot by itself: every node in one place, every
// cluster once, nothing null that should be a list.
func (h *history) judgeShape(r round) {
	count := map[cluster.Node]int{}
	for i, c := range r.after.Clusters {
		if i > 0 && r.after.Clusters[i-1].ID >= c.ID {
			h.fault(r, "clusters are not in order of their ids, each once")
		}
		if c.HasMaster != (c.Master != nil) {
			h.fault(r, "has_master of %d is %v", c.ID, c.HasMaster)
		}
		h.judgeList(r, c.Slaves, c.ID, cluster.Slave, count)
		h.judgeList(r, c.Lost, c.ID, cluster.Lost, count)
		if c.Master != nil {
			h.judgeList(r, []cluster.Entry{*c.Master}, c.ID, cluster.Master, count)
		}
		// A reload that takes the master out keeps its place for a round.
		if c.Master == nil && len(c.Slaves)+len(c.Lost) == 0 && !r.reload {
			h.fault(r, "cluster %d has no member", c.ID)
		}
	}
	h.judgeList(r, r.after.Clusterless, cluster.NoCluster, cluster.Clusterless, count)
	for _, n := range r.config.Nodes {
		if count[n.Node] != 1 {
			h.fault(r, "%v is in %d places", n.Node, count[n.Node])
		}
	}
	if len(count) != len(r.config.Nodes) || len(r.after.Nodes) != len(r.config.Nodes) {
		h.fault(r, "%d nodes are configured, %d have places, %d details", len(r.config.Nodes), len(count), len(r.after.Nodes))
	}
	h.judgeLists(r)
}

func (h *history) judgeList(r round, list []cluster.Entry, id int, place cluster.Place, count map[cluster.Node]int) {
	order := map[cluster.Node]int{}
	for i, n := range r.config.Nodes {
		order[n.Node] = i
	}
	last := -1
	for _, e := range list {
		n := cluster.Node{Host: e.Host, Port: e.Port}
		count[n]++
		if order[n] <= last {
			h.fault(r, "%v is listed out of configured order", n)
		}
		last = order[n]
		d, ok := r.after.Nodes[n.String()]
		if !ok || d.State != place {
			h.fault(r, "%v is %s in the lists and %q in nodes", n, place, d.State)
		}
		if d.Suspect && place != cluster.Master && place != cluster.Slave {
			h.fault(r, "%v is %s and suspect", n, place)
		}
		if place != cluster.Clusterless && e.ClusterID != id {
			h.fault(r, "%v stands in %d and says %d", n, id, e.ClusterID)
		}
		h.judgeEntry(r, n, e, place)
		if place == cluster.Master && (e.MasterName != "" || e.IsSlave) {
			h.fault(r, "%v is master and shown as %+v", n, e)
		}
	}
}

// judgeEntry holds what is shown of a node against what it answered.
func (h *history) judgeEntry(r round, n cluster.Node, e cluster.Entry, place cluster.Place) {
	seen := r.seen[n]
	if seen.Outcome != cluster.Answered || place == cluster.Master && r.after.Starting {
		return // a start that has not settled has not judged the answer
	}
	name, id := "", cluster.NoCluster
	if seen.Row != nil {
		id = seen.Row.Cluster
		if seen.Slave {
			name = cluster.CanonicalName(seen.Row.Master)
		}
	}
	if e.IsSlave != seen.Slave || e.MasterName != name || place == cluster.Clusterless && e.ClusterID != id {
		h.fault(r, "%v answered %v, %+v and is shown as %+v", n, seen.Slave, seen.Row, e)
	}
}

// judgeLists wants no list to be nil, which JSON would write as null.
func (h *history) judgeLists(r round) {
	s := r.after
	bad := s.Clusters == nil || s.Clusterless == nil || s.Nodes == nil || s.Warnings == nil
	for _, c := range s.Clusters {
		bad = bad || c.Slaves == nil || c.Lost == nil
	}
	for _, e := range r.events {
		p := s.Payload(e)
		bad = bad || p.Slaves == nil || p.Lost == nil || p.Clusterless == nil || p.Nodes == nil
	}
	if bad {
		h.fault(r, "a list is nil in %+v", s)
	}
}

// judgeRepeat wants the same output for the same input, and the old State as
// it was. It is costly, so of rounds without events only some are repeated.
func (h *history) judgeRepeat(r round) {
	if h.rounds++; len(r.events) == 0 && h.rounds%8 != 0 {
		return
	}
	old, beats, after, events := r.repeat()
	if !reflect.DeepEqual(r.before, old) {
		h.fault(r, "the old State changed: %s", cmp.Diff(r.before, old))
	}
	if !slices.Equal(r.beats, beats) {
		h.fault(r, "the same look led to other beats: %s", cmp.Diff(r.beats, beats))
	}
	if !reflect.DeepEqual(r.after, after) {
		h.fault(r, "the same round led to another state: %s", cmp.Diff(r.after, after))
	}
	if !reflect.DeepEqual(r.events, events) {
		h.fault(r, "the same round told something else: %s", cmp.Diff(r.events, events))
	}
}

// judgeEvents checks the events of a round against the states before and
// after it.
func (h *history) judgeEvents(r round) {
	h.judgeIDs(r)
	h.judgeOrder(r)
	for _, e := range append(slices.Clone(r.events), r.heartbeats...) {
		h.judgeEntries(r, e)
	}
	h.judgeOpening(r)
	h.judgeReplay(r)
	h.judgeBeatEvents(r)
}

// judgeOpening wants plusmoin_up once of each cluster, and nothing before it.
func (h *history) judgeOpening(r round) {
	opened := map[int]bool{}
	for _, c := range r.before.Clusters {
		opened[c.ID] = !c.Starting
	}
	told := map[int]int{}
	for _, e := range append(slices.Clone(r.events), r.heartbeats...) {
		told[e.Cluster]++
		if e.Kind == cluster.PlusmoinUp && (opened[e.Cluster] || !r.before.Starting && !r.first) {
			h.fault(r, "plusmoin_up was told of %d in the middle of a run", e.Cluster)
		}
	}
	for _, c := range r.after.Clusters {
		ups := 0
		for _, e := range r.events {
			if e.Cluster == c.ID && e.Kind == cluster.PlusmoinUp {
				ups++
			}
		}
		was, existed := opened[c.ID]
		switch {
		case c.Starting && (told[c.ID] > 0 || !r.after.Starting && !r.reload):
			h.fault(r, "%d has not opened and was told of, or never will", c.ID)
		case !c.Starting && !was && existed && ups != 1:
			h.fault(r, "plusmoin_up was told %d times of %d, which opened", ups, c.ID)
		}
	}
}

// judgeBeatEvents wants one plusmoin_heartbeat a cluster.
func (h *history) judgeBeatEvents(r round) {
	for _, e := range r.events {
		if e.Kind == cluster.PlusmoinHeartbeat {
			h.fault(r, "%s was told in the middle of a round", e.Kind)
		}
	}
	if r.heartbeats == nil {
		return
	}
	var got, want []int
	for _, e := range r.heartbeats {
		got = append(got, e.Cluster)
	}
	for _, c := range r.after.Clusters {
		if !c.Starting {
			want = append(want, c.ID)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		h.fault(r, "plusmoin_heartbeat was told of %v, there are %v", got, want)
	}
}

// judgeIDs wants event ids to grow, across restarts too unless the last run was
// not behind the wall clock, which rows from the future and steps of it can do.
func (h *history) judgeIDs(r round) {
	if r.first && h.lastID >= r.begun.Wall.UnixMicro() {
		h.lastID = 0
	}
	for _, e := range append(slices.Clone(r.events), r.heartbeats...) {
		if e.ID <= h.lastID {
			h.fault(r, "event id %d of %s follows %d", e.ID, e.Kind, h.lastID)
		}
		h.lastID = e.ID
	}
}

// judgeOrder wants node_left first, then cluster after cluster, each in the
// order of Kinds.
func (h *history) judgeOrder(r round) {
	rank := func(k cluster.Kind) int { return slices.Index(cluster.Kinds(), k) }
	done := map[int]bool{}
	for i, e := range r.events {
		if rank(e.Kind) < 0 {
			h.fault(r, "%q is no kind of event", e.Kind)
		}
		if i == 0 {
			continue
		}
		was := r.events[i-1]
		switch {
		case e.Kind == cluster.NodeLeft:
			if was.Kind != cluster.NodeLeft {
				h.fault(r, "node_left after %s", was.Kind)
			}
		case was.Kind == cluster.NodeLeft:
		case was.Cluster != e.Cluster:
			done[was.Cluster] = true
			if done[e.Cluster] {
				h.fault(r, "events of cluster %d are not together", e.Cluster)
			}
		case rank(e.Kind) < rank(was.Kind):
			h.fault(r, "%s after %s", e.Kind, was.Kind)
		}
	}
}

// judgeEntries checks the nodes that an event names.
func (h *history) judgeEntries(r round, e cluster.Event) {
	switch e.Kind {
	case cluster.PlusmoinUp, cluster.PlusmoinHeartbeat, cluster.ClusterGone:
		if e.Node != nil {
			h.fault(r, "%s names a node", e.Kind)
		}
		return
	}
	if e.Node == nil {
		h.fault(r, "%s names no node", e.Kind)
		return
	}
	n := cluster.Node{Host: e.Node.Host, Port: e.Node.Port}
	if now, ok := entryOf(r.after, n); ok && now != *e.Node {
		h.fault(r, "%s shows %+v, after the round it is %+v", e.Kind, *e.Node, now)
	}
	if e.Kind != cluster.MasterUp && e.Kind != cluster.MasterDown {
		return
	}
	want, ok := h.lastMaster(r, e.Cluster)
	if ok && (e.OldMaster == nil || e.OldMaster.Host != want.Host) {
		h.fault(r, "%s of %d has the old master %+v, not %v", e.Kind, e.Cluster, e.OldMaster, want)
	}
}

func entryOf(s cluster.Snapshot, n cluster.Node) (cluster.Entry, bool) {
	for _, c := range s.Clusters {
		all := slices.Concat(c.Slaves, c.Lost)
		if c.Master != nil {
			all = append(all, *c.Master)
		}
		for _, e := range all {
			if e.Host == n.Host && e.Port == n.Port {
				return e, true
			}
		}
	}
	for _, e := range s.Clusterless {
		if e.Host == n.Host && e.Port == n.Port {
			return e, true
		}
	}
	return cluster.Entry{}, false
}

// lastMaster returns the master a cluster had before the round or, without
// one, its last.
func (h *history) lastMaster(r round, id int) (cluster.Node, bool) {
	for _, c := range r.before.Clusters {
		if c.ID == id && c.Master != nil {
			return cluster.Node{Host: c.Master.Host, Port: c.Master.Port}, true
		}
	}
	m := h.masters[id]
	if len(m) == 0 {
		return cluster.Node{}, false
	}
	return m[len(m)-1], true
}

// judgeReplay replays the events on the state before the round and wants the
// state after it. Every event must change something. What belongs to a cluster
// that has not opened has no place yet that anybody was told of.
func (h *history) judgeReplay(r round) {
	state, clusters := toldSpots(r.before)
	for _, e := range r.events {
		if e.Kind == cluster.PlusmoinUp {
			clusters[e.Cluster] = true
			for n, at := range spots(r.after) {
				if at.cluster == e.Cluster {
					state[n] = at
				}
			}
			continue
		}
		if fault := replay(state, clusters, e); fault != "" {
			h.fault(r, "%s %d %+v: %s", e.Kind, e.Cluster, e.Node, fault)
		}
	}
	configured := map[cluster.Node]bool{}
	for _, n := range r.config.Nodes {
		configured[n.Node] = true
		if _, ok := state[n.Node]; !ok {
			state[n.Node] = spot{cluster.NoCluster, cluster.Clusterless}
		}
	}
	maps.DeleteFunc(state, func(n cluster.Node, at spot) bool {
		return !configured[n] && at.place == cluster.Clusterless
	})
	after, opened := toldSpots(r.after)
	if !maps.Equal(state, after) {
		h.fault(r, "the events do not lead to the state after: %s", cmp.Diff(state, after, cmp.AllowUnexported(spot{})))
	}
	if !maps.Equal(clusters, opened) {
		h.fault(r, "the events lead to the clusters %v, there are %v", clusters, opened)
	}
}

// toldSpots returns where every node stands, and which clusters there are, as far
// as anybody was told.
func toldSpots(s cluster.Snapshot) (map[cluster.Node]spot, map[int]bool) {
	state, clusters, starting := spots(s), map[int]bool{}, map[int]bool{}
	for _, c := range s.Clusters {
		if c.Starting {
			starting[c.ID] = true
		} else {
			clusters[c.ID] = true
		}
	}
	for n, at := range state {
		if starting[at.cluster] {
			state[n] = spot{cluster.NoCluster, cluster.Clusterless}
		}
	}
	return state, clusters
}

// replay applies one event to where the nodes stand.
func replay(state map[cluster.Node]spot, clusters map[int]bool, e cluster.Event) string {
	var n cluster.Node
	if e.Node != nil {
		n = cluster.Node{Host: e.Node.Host, Port: e.Node.Port}
	}
	was, id := state[n], e.Cluster
	move := func(place cluster.Place, from ...cluster.Place) string {
		state[n] = spot{id, place}
		if was.cluster != id || !slices.Contains(from, was.place) {
			return "was " + string(was.place)
		}
		return ""
	}
	switch e.Kind {
	case cluster.NodeLeft:
		state[n] = spot{cluster.NoCluster, cluster.Clusterless}
		if was.cluster != id {
			return "was not in it"
		}
	case cluster.ClusterUp, cluster.ClusterSplit:
		state[n] = spot{id, cluster.Master}
		if clusters[id] || was.place != cluster.Clusterless {
			return "it was there, or the node elsewhere"
		}
		clusters[id] = true
	case cluster.NodeJoined:
		state[n] = spot{id, cluster.Lost}
		if was.place == cluster.Master || was.place == cluster.Slave || was.place == cluster.Lost {
			return "has not left where it was"
		}
	case cluster.MasterDown:
		if was == (spot{id, cluster.Master}) {
			state[n] = spot{id, cluster.Lost}
		}
	case cluster.MasterUp:
		for other, at := range state {
			if at == (spot{id, cluster.Master}) {
				state[other] = spot{id, cluster.Lost}
			}
		}
		if e.OldMaster != nil && *e.OldMaster == *e.Node && was == (spot{id, cluster.Master}) {
			state[n] = was // another master behind one name
			return ""
		}
		return move(cluster.Master, cluster.Slave, cluster.Lost)
	case cluster.SlaveDown:
		return move(cluster.Lost, cluster.Slave)
	case cluster.SlaveUp:
		return move(cluster.Slave, cluster.Lost)
	case cluster.ClusterGone:
		for _, at := range state {
			if at.cluster == id && at.place != cluster.Clusterless {
				return "has members"
			}
		}
		if !clusters[id] {
			return "was not there"
		}
		delete(clusters, id)
	}
	return ""
}
