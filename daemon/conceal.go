package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Conceal keeps what this process knows, such as passwords, from other processes
// of its user: they cannot read its memory and its environment, nor does it leave
// them in a core dump. Programs that it starts are as usual again, but for the
// limit of core dumps, which they may raise.
func Conceal() error {
	err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		err = fmt.Errorf("hiding this process's memory: %w", err)
	}
	var limit unix.Rlimit
	limitErr := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
	if limitErr == nil {
		limit.Cur = 0
		limitErr = unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	}
	if limitErr != nil {
		limitErr = fmt.Errorf("forbidding core dumps: %w", limitErr)
	}
	return errors.Join(err, limitErr)
}

// withoutSecrets returns an environment without what looks like a secret, which
// a daemon has no use for: its password is in its configuration. It always makes
// a new list.
func withoutSecrets(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return slices.ContainsFunc([]string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE_KEY", "API_KEY"},
			func(word string) bool { return strings.Contains(name, word) })
	})
}
