package cluster

import (
	"time"
)

// Payload is the JSON object a trigger reads: the documented keys and a few
// more beside them.
type Payload struct {
	ClusterID   int               `json:"cluster_id"`
	HasMaster   bool              `json:"has_master"`
	Trigger     *Entry            `json:"trigger"`
	Master      *Entry            `json:"master"`
	Slaves      []Entry           `json:"slaves"`
	Lost        []Entry           `json:"lost"`
	Clusterless []Entry           `json:"clusterless"`
	Event       Kind              `json:"event"`
	EventID     int64             `json:"event_id"`
	Time        time.Time         `json:"time"`
	OldMaster   *Entry            `json:"old_master"`
	Diagnosis   Diagnosis         `json:"diagnosis"`
	Evidence    *Evidence         `json:"evidence"`
	SplitFrom   *int              `json:"split_from"`
	Nodes       map[string]Detail `json:"nodes"` // of the cluster and the clusterless ones
}

// Payload returns what the trigger of e is to read, given the snapshot of the
// round that e is an event of.
func (s Snapshot) Payload(e Event) Payload {
	p := Payload{
		ClusterID: e.Cluster, Trigger: e.Node, Slaves: []Entry{}, Lost: []Entry{},
		Clusterless: s.Clusterless, Event: e.Kind, EventID: e.ID, Time: e.Time,
		OldMaster: e.OldMaster, Diagnosis: OK, Nodes: map[string]Detail{},
	}
	for _, c := range s.Clusters {
		if c.ID != e.Cluster {
			continue
		}
		p.HasMaster, p.Master, p.Slaves, p.Lost = c.HasMaster, c.Master, c.Slaves, c.Lost
		p.Diagnosis, p.Evidence, p.SplitFrom = c.Diagnosis, c.Evidence, c.SplitFrom
		if c.Master != nil {
			s.detail(&p, *c.Master)
		}
	}
	for _, list := range [][]Entry{p.Slaves, p.Lost, p.Clusterless} {
		for _, n := range list {
			s.detail(&p, n)
		}
	}
	return p
}

func (s Snapshot) detail(p *Payload, e Entry) {
	name := Node{e.Host, e.Port}.String()
	if d, ok := s.Nodes[name]; ok {
		p.Nodes[name] = d
	}
}
