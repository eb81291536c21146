// Package plainfile opens files of which another user may have made something
// else than a file.
//
//	file, err := plainfile.Open(path)                // to read
//	file, err := plainfile.OpenOwn(path, flags, 0o640) // to write; made if asked for
//	err = plainfile.Guarded(path)                    // may root obey what it says?
//
// It hides how a name leads to a file. A named pipe, a device or a directory is
// never waited for but refused, and a symbolic link or a hard link that somebody
// else has planted is not followed. It never changes an owner or a mode.
package plainfile
