// Package statefile keeps the State of a monitor in a file, so that a restart is
// like a suspension.
//
//	file, err := statefile.Open(path, log)
//	defer file.Close()
//	file.Kept()       // what the last run kept, nil if nothing
//	file.Keep(data)   // does not wait for the disk
//
// The file is replaced atomically and on the disk before it takes the place of
// the old one; only its owner may read it. The package does not know what is in
// it. A file that cannot be used is set aside beside it, never deleted, and a
// disk that is full or hangs costs what could not be kept and nothing else.
package statefile
