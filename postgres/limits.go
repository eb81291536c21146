package postgres

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// spareDescriptors is what a process needs beside one descriptor a node: for
// connections that are renewed before the old ones go, for the look-ups of their
// names, and for log, status file, triggers and whatever else.
const spareDescriptors = connectsAtOnce + connectsAtOnce + 64

// CheckDescriptors returns an error with both numbers if watching so many nodes
// can need more file descriptors than this process may have. That is its soft
// limit, which every Go program raises to the hard one when it starts. A Fleet
// that is told of more nodes watches them all the same: those that cannot be
// connected to have cluster.ReasonResources.
func CheckDescriptors(nodes int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if need := nodes + spareDescriptors; uint64(need) > limit.Cur {
		return fmt.Errorf("%d nodes need %d file descriptors and no more than %d can be had", nodes, need, limit.Cur)
	}
	return nil
}
