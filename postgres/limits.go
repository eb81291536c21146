package postgres

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// spareDescriptors is what a process needs beside one descriptor a node: for
// connections that are renewed before the old ones go, for the look-ups of their
// names, and for log, status file, triggers and whatever else.
const spareDescriptors = connectsAtOnce + connectsAtOnce + 64

// CheckDescriptors returns an error if watching so many nodes can need more
// file descriptors than this process may have. It compares with the hard limit:
// the soft one is raised to it when a Go program starts. More nodes than that
// are watched all the same, those that cannot be connected to have
// cluster.ReasonResources.
func CheckDescriptors(nodes int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if need := nodes + spareDescriptors; uint64(need) > limit.Max {
		return fmt.Errorf("%d nodes need %d file descriptors and the hard limit is %d: raise it (ulimit -Hn, or LimitNOFILE of the service)",
			nodes, need, limit.Max)
	}
	return nil
}
