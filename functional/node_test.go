//go:build functional

package functional

import (
	"strings"

	dc "github.com/ory/dockertest/v3/docker"
)

// The image of the nodes, its commands and its roles are in images/postgres.

func postgresImage(version string) string { return "plusmoin-postgres:" + version }

// node is a host with a PostgreSQL server.
type node struct{ *host }

// master makes a server that is a master, with lines for its configuration.
func (l *lab) master(name string, settings ...string) node {
	l.Helper()
	return l.node(name, []string{"master"}, settings)
}

// slave makes a server that begins as a copy of another and follows it.
func (l *lab) slave(name string, of node, settings ...string) node {
	l.Helper()
	return l.node(name, []string{"slave", of.replica()}, settings)
}

// cast makes a master, and slaves of it, and returns when all stream.
func (l *lab) cast(master string, slaves ...string) []node {
	l.Helper()
	m := l.master(master)
	nodes := []node{m}
	for _, name := range slaves {
		nodes = append(nodes, l.slave(name, m))
	}
	for _, s := range nodes[1:] {
		s.untilStreaming(m)
	}
	return nodes
}

func (l *lab) node(name string, command, settings []string) node {
	l.Helper()
	return node{l.run(name, dc.CreateContainerOptions{
		Config: &dc.Config{
			Image: postgresImage(l.version), Cmd: command,
			Env: []string{"NODE_CONF=" + strings.Join(settings, "\n")},
			// Data on the host's own file system: layers are slow to write to.
			Volumes: map[string]struct{}{"/var/lib/postgresql": {}},
		},
		HostConfig: &dc.HostConfig{CapAdd: []string{"NET_ADMIN"}}, // for mute
	}, l.watching, l.replicating)}
}

// sql asks the server itself, by its socket, and returns the answer: columns
// with | between them.
func (n node) sql(statement string) string {
	n.lab.Helper()
	return n.exec("psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement)
}

// until waits until the server answers a query so. The waiting is done on its
// host, since to run a command there costs more than to ask.
func (n node) until(what, query, answer string) {
	n.lab.Helper()
	const loop = `until [ "$(psql -X -At -c "$0" 2>&1)" = "$1" ]; do sleep 0.2; done`
	if _, err := n.try("timeout", "60", "sh", "-c", loop, query, answer); err != nil {
		n.lab.Fatalf("within a minute: never %s: %v", what, err)
	}
}

// untilStreaming waits until the server streams from another.
func (n node) untilStreaming(from node) {
	n.lab.Helper()
	from.until(n.name+" streams from "+from.name,
		"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '"+n.name+"'", "1")
}

// killLeaving is a power cut of a master after which no slave has more of its WAL
// than the heirs: one that has could not follow them.
func (n node) killLeaving(heirs ...node) {
	n.lab.Helper()
	names := []string{}
	for _, h := range heirs {
		names = append(names, "'"+h.name+"'")
	}
	const stop = `psql -X -At -c "$0" | xargs -r kill -STOP`
	n.exec("sh", "-c", stop, "SELECT pid FROM pg_stat_replication WHERE application_name NOT IN ("+strings.Join(names, ", ")+")")
	n.kill()
}

// promote makes a slave a master and returns when it is one.
func (n node) promote() { n.lab.Helper(); n.exec("node", "promote") }

// follow makes a slave follow another server.
func (n node) follow(of node) { n.lab.Helper(); n.exec("node", "follow", of.replica()) }

// rebuild replaces a server that runs by a fresh copy of another, which it
// follows.
func (n node) rebuild(of node) {
	n.lab.Helper()
	n.exec("node", "rebuild", of.replica())
	n.stop(10)
	n.start()
}

// freeze stops all processes of the server, but not the host; thaw lets them go
// on.
func (n node) freeze() { n.lab.Helper(); n.exec("pkill", "-STOP", "-u", "postgres") }
func (n node) thaw()   { n.lab.Helper(); n.exec("pkill", "-CONT", "-u", "postgres") }
