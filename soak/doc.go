// Package soak lets plusmoin watch real PostgreSQL servers, and more that a fake
// fleet plays, for as long as one likes while they are killed, frozen, promoted,
// rebuilt and so on at random, and judges all that it tells.
//
//	SOAK=1h SOAK_SEED=7 go test -v -timeout 2h ./soak
//
// It has one test only, TestSoak. The package hides a model of the truth: what
// was done to the servers, and what semantics follow from it for an observer.
// It shares no code with the state machine it judges, and never takes what
// plusmoin says for the truth, with one exception: the number of a new cluster,
// of which only that it is new can be demanded.
//
// plusmoin is suspended, reloaded and restarted too, its triggers fail, and its
// wall clock is set forward and back. For that it is built with a standard
// library that adds to the time what the soak says; the clock of the machine is
// left alone, as are those of the servers.
//
// The same seed makes the same choices as long as the servers are as quick: what
// is possible depends on what has become of them.
//
// Environment: SOAK is how long havoc is made (default 20s), SOAK_SEED the seed
// of what happens (default: one that is printed, but always 1 without SOAK).
// After a failure the folder named in the output holds the history, the events,
// the status file and all logs.
package soak
