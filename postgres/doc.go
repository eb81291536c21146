// Package postgres looks at PostgreSQL servers and writes beats on masters. It
// is the only package that speaks to a database and hides everything about
// doing so: connections and their renewal, deadlines, SQL and its differences
// between versions, and what an error of a server or of the network means.
//
//	fleet, err := postgres.Open(settings, log)
//	defer fleet.Close()
//	seen := fleet.Look(ctx, nodes, nil)  // all nodes at once
//	sent := fleet.Beat(ctx, beats)       // masters only, at once
//
// It keeps one connection a node and renews it before it lets the old one go.
// Every exchange with a server has a deadline on this side, for a frozen server
// keeps none of its own; a connection on which a deadline passed is closed and
// never waited for. No node waits for another.
//
// # A node's connection
//
// Each node has one goroutine, its connLoop, which owns the connection and goes
// through these states. What moves it is a request of the fleet (a look, a beat,
// new settings), the end of a connect, or the end of the connection.
//
//	             look, or a pause is over
//	+---------+ -------------------------> +------------+
//	|  apart  |                            | connecting |
//	+---------+ <------------------------- +------------+
//	  ^     ^        no connection               |
//	  |     |                                    | connection
//	  |     | dropped: wakes the monitor         v
//	  |     +------------------------------ +--------+  connects for a
//	  |                                     |  idle  |  renewal beside
//	  |                                     +--------+
//	  |                         look, beat |        ^ answer
//	  |                                    v        |
//	  |  late, lost, a panic            +--------------+
//	  +---------------------------------|    asking    |
//	                                    +--------------+
//
// In "apart" session and attempt are nil, in "connecting" there is an attempt, in
// "idle" and "asking" a session. The way from asking to apart goes on to
// connecting at once if a kept connection turned out to be dead, for the same look,
// or if the server was silent, for the next.
//
// Every look and every beat has a number, which the request and its answer carry.
// The fleet notes as open the look that a node owes an answer to and asks for no
// other meanwhile. An answer with the number of this round is a sighting. One with
// an earlier number says nothing of now: the node is asked again if it is well, and
// is not waited for if it is not. An answer that nobody asked for has no number; it
// says that a node which failed is well again.
//
// A panic in the goroutine of a node, or in that of its connect, costs the node one
// look: it is Failed with ReasonBadAnswer, the stack is logged, and the node goes
// on with a new session.
//
// The package never decides what a sighting means: it does not know clusters,
// and whether a node is down is not its word to say. It takes nothing from the
// environment: of libpq's defaults only the files in the user's home folder
// hold (~/.pgpass and ~/.postgresql), and PG* variables change nothing.
package postgres
