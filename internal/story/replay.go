package story

import (
	"maps"
	"testing"

	"plusmoin/cluster"
	"plusmoin/status"
)

// where is a place in a cluster.
type where struct {
	cluster int
	place   cluster.Place
}

// checkReplay checks that somebody who knows only what plusmoin_up showed and
// what was told since knows where every member is.
func checkReplay(t *testing.T, events []Event, last status.Document) {
	t.Helper()
	replayed := map[string]where{}
	for _, e := range events {
		replay(replayed, e)
	}
	shown := map[string]where{}
	for _, c := range last.Clusters {
		enter(shown, c)
	}
	if !maps.Equal(replayed, shown) {
		t.Errorf("replaying the events gives %v, status.json shows %v", replayed, shown)
	}
}

func replay(places map[string]where, e Event) {
	switch e.Event {
	case cluster.PlusmoinUp:
		enter(places, cluster.Cluster{ID: e.ClusterID, Master: e.Master, Slaves: e.Slaves, Lost: e.Lost})
	case cluster.NodeLeft:
		delete(places, AddressOf(*e.Trigger))
	case cluster.NodeJoined, cluster.SlaveDown:
		places[AddressOf(*e.Trigger)] = where{e.ClusterID, cluster.Lost}
	case cluster.SlaveUp:
		places[AddressOf(*e.Trigger)] = where{e.ClusterID, cluster.Slave}
	case cluster.MasterDown:
		if places[AddressOf(*e.Trigger)].cluster == e.ClusterID && places[AddressOf(*e.Trigger)].place != "" {
			places[AddressOf(*e.Trigger)] = where{e.ClusterID, cluster.Lost}
		}
	case cluster.MasterUp, cluster.ClusterUp, cluster.ClusterSplit:
		for name, at := range places {
			if at == (where{e.ClusterID, cluster.Master}) {
				places[name] = where{e.ClusterID, cluster.Lost}
			}
		}
		places[AddressOf(*e.Trigger)] = where{e.ClusterID, cluster.Master}
	}
}

// enter puts the members of a cluster in their places.
func enter(places map[string]where, c cluster.Cluster) {
	if c.Master != nil {
		places[AddressOf(*c.Master)] = where{c.ID, cluster.Master}
	}
	for _, n := range c.Slaves {
		places[AddressOf(n)] = where{c.ID, cluster.Slave}
	}
	for _, n := range c.Lost {
		places[AddressOf(n)] = where{c.ID, cluster.Lost}
	}
}
