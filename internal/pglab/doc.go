// Package pglab runs throwaway PostgreSQL masters and slaves from the installed
// binaries, for tests and for the demo.
//
//	lab, err := pglab.Open(ctx, pglab.Options{})
//	defer lab.Close()
//	nodes, err := lab.Cluster(ctx, "m", "s1", "s2") // the first is the master
//	nodes[0].Kill(ctx)
//	nodes[1].Promote(ctx)
//	nodes[2].Follow(ctx, nodes[1])
//
// A test writes lab := pglab.New(t) instead: the lab is closed at the end of
// the test, and a failed test shows the end of every server's log.
//
// The package hides where the binaries are, which system user runs them, how a
// data folder is prepared, how ports are held and how processes are signalled.
// Every master is prepared with the role User, who owns the database Database.
// Data is never synced to disk. Servers listen on loopback only, or answer only
// loopback (AllLoopback), and none of them outlives the program: a killed
// program takes its servers with it.
//
// It never touches a server it did not start, and writes nowhere but in the
// folder of the lab and in the user's cache folder, where one prepared data
// folder for each PostgreSQL version is kept to make later labs quick.
package pglab
