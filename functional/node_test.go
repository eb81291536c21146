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

// untilStreaming waits until the server streams from another.
func (n node) untilStreaming(from node) {
	n.lab.Helper()
	n.lab.await(n.name+" streams from "+from.name, func() (bool, error) {
		count, err := from.try("psql", "-X", "-At", "-c",
			"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '"+n.name+"'")
		return count == "1", err
	})
}

// untilUp waits until the server answers.
func (n node) untilUp() {
	n.lab.Helper()
	n.lab.await(n.name+" answers", func() (bool, error) {
		_, err := n.try("psql", "-X", "-At", "-c", "SELECT 1")
		return err == nil, err
	})
}

// promote makes a slave a master and returns when it is one.
func (n node) promote() { n.lab.Helper(); n.exec("node", "promote") }

// follow makes a slave follow another server.
func (n node) follow(of node) { n.lab.Helper(); n.exec("node", "follow", of.replica()) }

// demote stops a server that runs and starts it as a slave of another.
func (n node) demote(of node) {
	n.lab.Helper()
	n.exec("node", "demote", of.replica())
	n.stop(10)
	n.start()
}

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
