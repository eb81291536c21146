// Package postgres looks at PostgreSQL servers and writes beats on masters. It
// is the only package that speaks to a database and hides everything about
// doing so: connections and their renewal, deadlines, SQL and its differences
// between versions, and what an error of a server or of the network means.
//
//	fleet, err := postgres.Open(settings, log)
//	defer fleet.Close()
//	seen := fleet.Look(ctx, nodes)    // all nodes at once
//	sent := fleet.Beat(ctx, beats)    // masters only, at once
//
// It keeps one connection a node and renews it before it lets the old one go.
// Every exchange with a server has a deadline on this side, for a frozen server
// keeps none of its own; a connection on which a deadline passed is closed and
// never waited for. No node waits for another.
//
// The package never decides what a sighting means: it does not know clusters,
// and whether a node is down is not its word to say. It takes nothing from the
// environment: of libpq's defaults only the files in the user's home folder
// hold (~/.pgpass and ~/.postgresql), and PG* variables change nothing.
package postgres
