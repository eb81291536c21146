package daemon

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"plusmoin/internal/plainfile"
)

// Divert makes standard output and standard error of this process go to the
// end of the file at path, which is made if it is missing. Called again it
// opens the file anew, as is needed when that was renamed. A line that is being
// written goes to either file as a whole; a crash of the program is told in it
// too. After an error everything goes where it went before.
func Divert(path string) error {
	file, err := plainfile.OpenOwn(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer file.Close() // its duplicates stay open
	for _, fd := range []int{unix.Stdout, unix.Stderr} {
		if err := unix.Dup3(int(file.Fd()), fd, 0); err != nil {
			return fmt.Errorf("diverting output to %s: %w", path, err)
		}
	}
	return nil
}
