// Package fleet plays thousands of PostgreSQL nodes, for tests and figures
// that no real servers could be had for.
//
//	f, err := fleet.Open(fleet.Options{Nodes: 10_000, Slaves: 2})
//	defer f.Close()
//	f.Address(0)                      // a master, 127.1.0.1:port
//	f.Do("hang 0-332")                // all nodes of the first 333 clusters
//	f.Do("promote 7.1")               // the first slave of cluster 7
//
// The command fakefleet is the same in a process of its own, which takes the
// commands from its standard input.
//
// Nodes stand in clusters of one master and some slaves. A master accepts the
// beats that plusmoin writes and its slaves show them, at once or after a
// delay. Every node can be made to hang, to be slow, to drop its connections or
// to answer nonsense.
//
// The package hides the protocol of PostgreSQL and which statements are
// answered. Those are the statements of package postgres and no others: one
// that it does not know is refused as a syntax error, so that a change there
// is noticed here. It executes no SQL, keeps nothing on disk, knows no
// passwords, and serves no client that does not come from loopback.
package fleet
