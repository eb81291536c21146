// Package story holds what a plusmoin tells against what a test says of it.
//
// A Watch reads the events of a plusmoin from the file that its triggers append
// to, and its status from wherever the test has it from. The test says what
// happens to the servers and what is to be told of it; an event too many, one
// too few or one in the wrong place fails it. Nodes have the names that the
// test calls them by.
//
//	w.Expect("plusmoin_up 0")
//	// the master dies
//	w.Expect("master_down 0 m")
//	w.Shows("0: > s1 s2 (m)")
//
// It hides how events and status are read, put in order and checked against the
// documented formats, and never starts or breaks anything.
package story
