package cluster_test

import (
	"fmt"
	"slices"
	"time"

	"plusmoin/cluster"
)

// judgeBeats checks to whom beats are sent, and their ids and stamps.
func (h *history) judgeBeats(r round) {
	sent := map[cluster.Node]bool{}
	perCluster := map[int]int{}
	for _, b := range r.beats {
		seen := r.seen[b.Node]
		if sent[b.Node] || seen.Outcome != cluster.Answered || seen.Slave {
			h.fault(r, "a beat for %v, which has one or is no answering master", b.Node)
		}
		sent[b.Node] = true
		if b.Row.Master != b.Node.String() || b.Row.Cluster < 0 || b.Row.Cluster > cluster.MaxCluster {
			h.fault(r, "a beat for %v says %+v", b.Node, b.Row)
		}
		if perCluster[b.Row.Cluster]++; perCluster[b.Row.Cluster] > 2 {
			h.fault(r, "more than an incumbent and a candidate get beats of %d", b.Row.Cluster)
		}
		h.judgeStamp(r, b)
		h.judgeID(r, b)
	}
}

// judgeStamp wants stamps newer than any row found at the start, growing with
// the monotonic clock and with nothing else.
func (h *history) judgeStamp(r round, b cluster.Beat) {
	base := b.Row.Stamp.Add(-r.begun.Elapsed)
	if h.base == 0 {
		h.base = base
		for n, seen := range r.seen {
			if atStart := r.first || r.before.Starting; !atStart {
				break
			}
			ahead := seen.Row != nil && seen.Row.Stamp.Sub(cluster.Stamp(r.begun.Wall.UnixMicro())) > 24*time.Hour
			if seen.Row != nil && seen.Row.Stamp >= b.Row.Stamp && !ahead {
				h.fault(r, "the first beat %d is not newer than the row %d of %v", b.Row.Stamp, seen.Row.Stamp, n)
			}
		}
	}
	if off := base.Sub(h.base).Abs(); off > time.Millisecond {
		h.fault(r, "the stamps went off the monotonic clock by %v", off)
	}
	if n := len(h.sent); n > 0 && h.sent[n-1].Row.Stamp >= b.Row.Stamp {
		h.fault(r, "stamps do not grow: %d after %d", b.Row.Stamp, h.sent[n-1].Row.Stamp)
	}
}

// judgeID wants an id to be used for one cluster only.
func (h *history) judgeID(r round, b cluster.Beat) {
	id := b.Row.Cluster
	exists := slices.ContainsFunc(r.before.Clusters, func(c cluster.Cluster) bool { return c.ID == id })
	if exists || r.first || r.before.Starting {
		return
	}
	if h.existed[id] {
		h.fault(r, "%v is to found %d, which was another cluster's id", b.Node, id)
	}
	if first, ok := h.ids[id]; ok && first != b.Node {
		h.fault(r, "%v is to found %d, which is reserved for %v", b.Node, id, first)
	}
	h.ids[id] = b.Node
}

// judgeMasters checks who became master and who ceased to be.
func (h *history) judgeMasters(r round) {
	for _, e := range r.events {
		if e.Kind == cluster.MasterUp && e.Node != nil {
			h.judgeMasterUp(r, e.Cluster, cluster.Node{Host: e.Node.Host, Port: e.Node.Port})
		}
	}
	for _, c := range r.after.Clusters {
		if c.Master == nil {
			continue
		}
		n := cluster.Node{Host: c.Master.Host, Port: c.Master.Port}
		confirmed := slices.ContainsFunc(r.beats, func(b cluster.Beat) bool {
			return b.Node == n && b.Row.Cluster == c.ID && r.sent[n].Verdict == cluster.Confirmed
		})
		if suspect := r.after.Nodes[n.String()].Suspect; !confirmed && !suspect {
			h.fault(r, "%v is master of %d, confirmed no beat and is not suspect", n, c.ID)
		}
	}
	for _, n := range r.config.Nodes {
		h.judgeMasterDown(r, n.Node)
	}
}

// judgeMasterUp holds the row a new master showed against the conditions.
func (h *history) judgeMasterUp(r round, id int, n cluster.Node) {
	if r.sent[n].Verdict != cluster.Confirmed {
		h.fault(r, "master_up %v without a confirmed beat", n)
	}
	last, ok := h.lastMaster(r, id)
	if ok && last == n && (h.sameServer(r, id, n) || h.copiedAnew(r, n)) {
		return // whatever became of its table
	}
	row := r.seen[n].Row
	if row == nil {
		h.fault(r, "master_up %v, which had no row", n)
		return
	}
	ofThisRun, mine := false, false
	for _, s := range h.matching(r, *row) {
		ofThisRun = true
		mine = mine || s.Node == n && s.Row.Cluster == id
		if s.Row.Cluster != id {
			h.fault(r, "master_up %v in %d with a row of cluster %d", n, id, s.Row.Cluster)
		}
	}
	reference := h.reference(r, id)
	if !h.inLine(id, row.Master) && !mine {
		h.fault(r, "master_up %v in %d with a row of %s", n, id, row.Master)
	}
	switch stamp := row.Stamp; {
	case row.Master != n.String():
	case ok && last == n && h.foreign[id][likeness(*row)]: // says nothing of its age
	case stamp < reference && !(row.Coarse && stamp.Seconds() == reference.Seconds()):
		h.fault(r, "master_up %v in %d with its own row from before the reference", n, id)
	case ok && last != n && !ofThisRun:
		h.fault(r, "master_up %v in %d with its own row of another run", n, id)
	}
}

// identity is what tells a server apart, "" if that is not all known.
func identity(seen cluster.Sighting) string {
	f := seen.Facts
	if seen.Outcome != cluster.Answered || f.SystemID == 0 || f.Started == 0 || f.ServerPort == 0 {
		return ""
	}
	return fmt.Sprint(f.SystemID, f.Started, f.ServerPort)
}

// sameServer reports whether a node shows that it is the running server that took
// the cluster's last beat.
func (h *history) sameServer(r round, id int, n cluster.Node) bool {
	now := identity(r.seen[n])
	return now != "" && now == h.servers[id]
}

// copiedAnew reports whether a node with a label shows the row of a cluster whose
// master has another.
func (h *history) copiedAnew(r round, n cluster.Node) bool {
	labels := map[string]string{}
	for _, c := range r.config.Nodes {
		labels[c.Node.String()] = c.ClusterName
	}
	row := r.seen[n].Row
	mine := labels[n.String()]
	return row != nil && mine != "" && labels[row.Master] != "" && labels[row.Master] != mine
}

// reference is the newest beat of a cluster confirmed in an earlier round.
func (h *history) reference(r round, id int) cluster.Stamp {
	var newest cluster.Stamp
	for _, s := range h.confirmed[id] {
		if len(r.beats) == 0 || s.Row.Stamp < r.beats[0].Row.Stamp {
			newest = s.Row.Stamp
		}
	}
	return newest
}

func (h *history) inLine(id int, name string) bool {
	for _, n := range h.masters[id] {
		if n.String() == name {
			return true
		}
	}
	if h.claims[id] == nil { // rebuilt under a new id, since a newer claim had the old
		for _, names := range h.claims {
			if names[name] {
				return true
			}
		}
	}
	return h.claims[id][name] || h.lines[id][name]
}

// judgeMasterDown wants a failing master to stay until it is due or replaced,
// and not to stay longer.
func (h *history) judgeMasterDown(r round, n cluster.Node) {
	was, now := placeOf(r.before, n), placeOf(r.after, n)
	f := h.fails[n]
	if was.place != cluster.Master || f == nil || f.murky {
		return
	}
	overdue, due := h.due(r, f)
	if overdue && now == was {
		h.fault(r, "%v has failed since %v and is master still", n, f.since)
	}
	if due || now == was || h.exchanged(r, was.cluster, n) {
		return
	}
	for _, c := range r.after.Clusters {
		if c.ID == was.cluster && c.Master != nil {
			return // replaced
		}
	}
	h.fault(r, "%v is no longer master of %d, it has failed only since %v", n, was.cluster, f.since)
}

// exchanged says that a master came back as another server, without its row or
// from a backup.
func (h *history) exchanged(r round, id int, n cluster.Node) bool {
	seen := r.seen[n]
	known := r.before.Nodes[n.String()].SystemIdentifier
	if seen.Outcome != cluster.Answered {
		return false
	}
	if seen.Row == nil || seen.Row.Stamp < h.reference(r, id) {
		return true
	}
	if slices.ContainsFunc(h.matching(r, *seen.Row), func(s sentBeat) bool { return s.Row.Cluster != id }) {
		return true // a copy of another cluster's
	}
	return known != nil && seen.Facts.SystemID != 0 && *known != fmt.Sprint(seen.Facts.SystemID)
}

// due says whether a down is due for certain, and whether it can be.
func (h *history) due(r round, f *failing) (certain, possible bool) {
	kept := r.begun.Elapsed - f.since
	return kept >= r.config.FailInterval+h.slack, kept+h.slack >= r.config.FailInterval
}

// judgeSlaves checks who went up and down.
func (h *history) judgeSlaves(r round) {
	for _, c := range r.config.Nodes {
		was, now := placeOf(r.before, c.Node), placeOf(r.after, c.Node)
		if was.place == cluster.Slave {
			h.judgeSlaveDown(r, c, was, now)
		}
		if now.place == cluster.Slave && was != now {
			h.judgeSlaveUp(r, c, was, now)
		}
		if was.place == cluster.Lost && now == was {
			h.judgeStillLost(r, c, now)
		}
		h.judgeLag(r, c, now)
	}
}

// remembered is how many beats the bounded memory keeps for certain. Beyond
// that an estimate will do.
const remembered = 60

// judgeLag holds the lag that is shown against its definition.
func (h *history) judgeLag(r round, c cluster.NodeConfig, now spot) {
	seen := r.seen[c.Node]
	if seen.Outcome != cluster.Answered || !seen.Slave || h.reference(r, now.cluster) == 0 {
		return
	}
	shown := r.after.Nodes[c.Node.String()].Lag
	lag, known := h.lag(r, now.cluster, seen.Row)
	switch {
	case known != (shown != nil):
		h.fault(r, "the lag of %v is known: %v, shown: %v", c.Node, known, shown != nil)
	case known && len(h.confirmed[now.cluster])-firstFrom(h.confirmed[now.cluster], seen.Row.Stamp) > remembered:
	case known && time.Duration((*shown-lag.Seconds())*1e9).Abs() > h.margin(seen.Row)+time.Microsecond:
		h.fault(r, "the lag of %v is %v, shown as %vs", c.Node, lag, *shown)
	}
}

func (h *history) judgeSlaveDown(r round, c cluster.NodeConfig, was, now spot) {
	if f := h.fails[c.Node]; f != nil {
		if f.murky {
			return
		}
		overdue, due := h.due(r, f)
		if overdue && now == was {
			h.fault(r, "%v has failed since %v and is a slave still", c.Node, f.since)
		}
		if !due && now != was {
			h.fault(r, "%v went to %v though it has failed only since %v", c.Node, now, f.since)
		}
		return
	}
	seen := r.seen[c.Node]
	if !seen.Slave || now.cluster != was.cluster || h.reference(r, was.cluster) == 0 {
		return // moved, or in a cluster rebuilt at start, which goes by stamps
	}
	lag, known := h.lag(r, was.cluster, seen.Row)
	margin := h.margin(seen.Row)
	if now.place == cluster.Lost && (!known || lag+margin <= c.MaxSyncDelay) && !otherSystem(r, c.Node, was.cluster) {
		h.fault(r, "slave_down %v with lag %v (known: %v)", c.Node, lag, known)
	}
	if now == was && known && lag > c.MaxSyncDelay+margin {
		h.fault(r, "%v is a slave with lag %v", c.Node, lag)
	}
}

// margin is by how much a lag can be off.
func (h *history) margin(row *cluster.Row) time.Duration {
	if row != nil && row.Coarse {
		return h.slack + time.Second
	}
	return h.slack
}

// otherSystem reports whether a node shows that it is of another system than the
// master of a cluster.
func otherSystem(r round, n cluster.Node, id int) bool {
	mine := r.seen[n].Facts.SystemID
	for _, c := range r.after.Clusters {
		if c.ID != id || c.Master == nil || mine == 0 {
			continue
		}
		d := r.after.Nodes[cluster.Node{Host: c.Master.Host, Port: c.Master.Port}.String()]
		return d.SystemIdentifier != nil && *d.SystemIdentifier != fmt.Sprint(mine)
	}
	return false
}

func (h *history) judgeSlaveUp(r round, c cluster.NodeConfig, was, now spot) {
	if was.place == cluster.Master && was.cluster == now.cluster {
		return // demoted
	}
	seen := r.seen[c.Node]
	if seen.Outcome != cluster.Answered || !seen.Slave || seen.Row == nil {
		h.fault(r, "slave_up %v, which showed %+v", c.Node, seen)
		return
	}
	good := h.good[c.Node]
	if was.place == cluster.Lost && r.begun.Elapsed-good+h.slack < r.config.FailInterval {
		h.fault(r, "slave_up %v, which answers only since %v", c.Node, good)
	}
	if !h.proves(r, now.cluster, *seen.Row) {
		h.fault(r, "slave_up %v with the row %+v", c.Node, *seen.Row)
	}
	if h.reference(r, now.cluster) == 0 {
		return // found at start: judged by stamps
	}
	lag, known := h.lag(r, now.cluster, seen.Row)
	if !known || lag > c.RecoverSyncDelay+h.margin(seen.Row) {
		h.fault(r, "slave_up %v with lag %v (known: %v)", c.Node, lag, known)
	}
}

// proves says whether a row can bring a slave up in a cluster: it is a beat of
// this run by its current or last master.
func (h *history) proves(r round, id int, row cluster.Row) bool {
	if h.reference(r, id) == 0 {
		// A cluster found at start, maybe with a new id.
		return row.Cluster == id || h.claims[row.Cluster][row.Master]
	}
	var masters []cluster.Node
	for _, s := range []cluster.Snapshot{r.before, r.after} {
		for _, c := range s.Clusters {
			if c.ID == id && c.Master != nil {
				masters = append(masters, cluster.Node{Host: c.Master.Host, Port: c.Master.Port})
			}
		}
	}
	if len(masters) == 0 {
		masters = h.masters[id][len(h.masters[id])-1:]
	}
	return slices.ContainsFunc(h.matching(r, row), func(s sentBeat) bool {
		return s.Row.Cluster == id && slices.Contains(masters, s.Node)
	})
}

// judgeStillLost wants a lost node up as soon as it is proven.
func (h *history) judgeStillLost(r round, c cluster.NodeConfig, now spot) {
	seen := r.seen[c.Node]
	good := h.surelyGood[c.Node]
	if otherSystem(r, c.Node, now.cluster) {
		return
	}
	if !seen.Slave || seen.Row == nil || r.begun.Elapsed-good < r.config.FailInterval+h.slack {
		return
	}
	last, had := h.lastMaster(r, now.cluster)
	if !had || placeOf(r.after, last) != (spot{now.cluster, cluster.Master}) || seen.Row.Master != last.String() {
		return
	}
	lag, known := h.lag(r, now.cluster, seen.Row)
	if known && h.proves(r, now.cluster, *seen.Row) && lag+h.margin(seen.Row) <= c.RecoverSyncDelay {
		h.fault(r, "%v is lost though its lag is %v since %v", c.Node, lag, good)
	}
}
