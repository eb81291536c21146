package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"plusmoin/cluster"
	"plusmoin/postgres"
)

// What can be judged only by looking at several nodes, or at a node and the
// configuration.

// foundMaster says that a node was found to be a master.
func foundMaster(seen postgres.Inspection) bool { return seen.Reason == "" && !seen.Slave }

// aliases names the nodes before the i-th that are the same server.
func (c check) aliases(i int) []postgres.Finding {
	var found []postgres.Finding
	for _, other := range c.seen[:i] {
		if !sameServer(other.Facts, c.seen[i].Facts) {
			continue
		}
		text := "alias: is the same server as %s; remove one of the two from the configuration"
		found = append(found, note(text, other.Node))
	}
	return found
}

// sameServer says that two names lead to one server, as package cluster does.
func sameServer(a, b cluster.Facts) bool {
	known := a.SystemID != 0 && a.Started != 0 && a.ServerPort != 0
	return known && a.SystemID == b.SystemID && a.Started == b.Started && a.ServerPort == b.ServerPort
}

// masterFindings judges a master beside the other nodes.
func (c check) masterFindings(i int) []postgres.Finding {
	seen := c.seen[i]
	found := c.unlisted(seen)
	for _, other := range c.seen[:i] {
		same := seen.Facts.SystemID != 0 && seen.Facts.SystemID == other.Facts.SystemID
		if same && foundMaster(other) && !sameServer(other.Facts, seen.Facts) {
			found = append(found, note("split_brain: is a master of the same system identifier as %s", other.Node))
		}
	}
	if seen.ArchiveTimeout > 0 {
		every := max(seen.ArchiveTimeout, c.cfg.Heartbeat.Interval)
		found = append(found, note("archive_timeout is %s: a beat makes the server archive a WAL segment of %s every %s "+
			"even if nothing else happens, %.0f a day",
			short(seen.ArchiveTimeout), seen.SegmentSize, short(every), math.Ceil(float64(24*time.Hour)/float64(every))))
	}
	return found
}

// unlisted names the slaves that stream from a master and are not configured.
// Slaves are told apart by address, and on one address by name as far as they
// have one.
func (c check) unlisted(master postgres.Inspection) []postgres.Finding {
	standbys := map[string][]string{} // names by address
	for _, s := range master.Standbys {
		standbys[s.Client] = append(standbys[s.Client], s.Application)
	}
	var found []postgres.Finding
	for _, address := range sortedKeys(standbys) {
		left, unnamed := standbys[address], 0
		for _, node := range c.seen {
			if node.Node == master.Node || foundMaster(node) || !c.isAt(node, address) {
				continue
			}
			j := slices.Index(left, node.ClusterName)
			if j < 0 || node.ClusterName == "" {
				unnamed++
				continue
			}
			left = slices.Delete(slices.Clone(left), j, j+1)
		}
		if len(left) > unnamed {
			found = append(found, unlistedAt(address, left))
		}
	}
	return found
}

func unlistedAt(address string, names []string) postgres.Finding {
	from := cmp.Or(address, "this machine")
	f := note("streams to a slave on %s that is no node of the configuration (application_name %s): "+
		"plusmoin will not look at it", from, strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), " or "))
	f.Remedies = []postgres.Remedy{{
		Where: "in nodes of the configuration, if it is to be watched, with its port",
		Lines: []string{fmt.Sprintf(`{"host": %q, "port": 5432},`, cmp.Or(address, "localhost"))},
	}}
	return f
}

// isAt says that a node can be the one at an address.
func (c check) isAt(node postgres.Inspection, address string) bool {
	if node.Facts.ServerAddr == address || strings.HasPrefix(node.Node.Host, "/") && address == "" {
		return true
	}
	return slices.Contains(c.addresses[node.Node.Host], address)
}

// slaveFindings judges a slave beside the other nodes.
func (c check) slaveFindings(i int) []postgres.Finding {
	seen := c.seen[i]
	var found []postgres.Finding
	if f, ok := c.masterless(seen); ok {
		found = append(found, f)
	}
	if up := seen.Facts.Receiver; up.Running {
		found = append(found, fine("streams from %s; takes a silent master for alive for %s (wal_receiver_timeout)",
			up.Upstream, short(seen.ReceiverTimeout)))
		if seen.ReceiverTimeout > longReceiverTimeout || seen.ReceiverTimeout == 0 {
			found = append(found, slowToHear(seen.ReceiverTimeout))
		}
	} else if up.Known {
		found = append(found, note("streams from nowhere: it will be lost once it lags"))
	}
	if seen.Facts.ReplayPaused == cluster.Yes {
		found = append(found, note("replay is paused: it will be lost once it lags"))
	}
	own := c.cfg.Nodes[i]
	if seen.ApplyDelay > own.RecoverSyncDelay {
		found = append(found, c.delayed(own, seen.ApplyDelay))
	}
	return found
}

// longReceiverTimeout is beyond which it is worth a word how long a slave waits
// for a silent master.
const longReceiverTimeout = 30 * time.Second

// slowToHear tells what a long wal_receiver_timeout costs: a master that vanished
// is sure to be dead only when its slaves have given it up.
func slowToHear(timeout time.Duration) postgres.Finding {
	most := "never, since wal_receiver_timeout is 0"
	if timeout > 0 {
		most = "after up to " + short(timeout) + " (wal_receiver_timeout)"
	}
	f := note("a frozen or vanished master turns from unconfirmed_master to dead_master %s", most)
	f.Remedies = []postgres.Remedy{{
		Where: "for 10 s, in psql on this slave, as a superuser",
		Lines: []string{"ALTER SYSTEM SET wal_receiver_timeout = '10s';", "SELECT pg_reload_conf();"},
	}}
	return f
}

// masterless judges a slave of which no node is the master. Nothing is said
// while a node is unknown: it may be that.
func (c check) masterless(slave postgres.Inspection) (postgres.Finding, bool) {
	for _, other := range c.seen {
		same := other.Facts.SystemID == slave.Facts.SystemID
		if other.Reason != "" || foundMaster(other) && same || slave.Facts.SystemID == 0 {
			return postgres.Finding{}, false
		}
	}
	from := ""
	if up := slave.Facts.Receiver.Upstream; up != "" {
		from = "; it streams from " + up
	}
	return problem("no node of the configuration is its master%s: without beats nothing is known of its lag", from), true
}

// delayed suggests limits for a slave that lags on purpose.
func (c check) delayed(node cluster.NodeConfig, delay time.Duration) postgres.Finding {
	f := note("recovery_min_apply_delay is %s, but it comes up only within %s of its master (recover_sync_delay) and is lost beyond %s "+
		"(max_sync_delay): it would never be in sync. Give it limits of its own", short(delay), short(node.RecoverSyncDelay), short(node.MaxSyncDelay))
	recovery := min(node.RecoverSyncDelay, node.MaxSyncDelay)
	f.Remedies = []postgres.Remedy{{
		Where: "in nodes of the configuration",
		Lines: []string{
			fmt.Sprintf(`{"host": %q, "port": %d,`, node.Node.Host, node.Node.Port),
			fmt.Sprintf(`  "max_sync_delay": %s, "recover_sync_delay": %s},`, seconds(delay+node.MaxSyncDelay), seconds(delay+recovery)),
		},
	}}
	return f
}

// seconds writes a duration as the configuration does.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
