// Package cluster decides: from what was seen of every node in one round it
// says who is master, who follows whom and is in sync, who is lost, and what
// has to be told about it.
//
// A round goes through it in one direction:
//
//	draft := state.Observe(now, seen)      // what was seen of every node
//	draft.Beats()                          // the beats to send to masters
//	state, events := draft.Settle(now, sent)
//	state.Snapshot()                       // what everybody else may read
//
// State is a value with one owner. Observe and Settle return new values and
// leave the old ones as they were, so a State may be kept or settled
// twice. Save and Restore let one outlast the process.
//
// RULES.md beside this file is the law that the code follows, with the stories
// that show each rule.
//
// The package does no input or output, reads no clock, logs nothing and starts
// no goroutine. Every time is an argument.
package cluster
