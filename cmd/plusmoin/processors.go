package main

import (
	"os"
	"runtime"
)

// fewNodes is up to how many nodes are watched on one processor. A round is
// then many pieces of work of some microseconds each, and to wake a second
// processor for one of them takes longer than the piece.
const fewNodes = 20

// useProcessors makes this process use one processor for few nodes, and all
// that it may for more. GOMAXPROCS in the environment overrules that.
func useProcessors(nodes int) {
	switch {
	case os.Getenv("GOMAXPROCS") != "":
	case nodes <= fewNodes:
		runtime.GOMAXPROCS(1)
	default:
		runtime.SetDefaultGOMAXPROCS()
	}
}
