package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// User is whom a daemon runs as.
type User struct {
	Name string
	Home string

	// change is nil if the daemon runs as whoever starts it.
	change *syscall.Credential
}

// Resolve returns whom a daemon runs as: the named user with all groups that
// it is a member of or, when we are not root and cannot become another,
// ourselves. The error says that there is no such user.
func Resolve(name string) (User, error) {
	if os.Geteuid() != 0 {
		return Self(), nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("no user %q in this system", name)
	}
	u := User{Name: found.Username, Home: found.HomeDir, change: &syscall.Credential{}}
	ids, err := found.GroupIds()
	if err != nil {
		return User{}, fmt.Errorf("groups of user %s: %w", name, err)
	}
	groups, err := numbers(append([]string{found.Uid, found.Gid}, ids...))
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", name, err)
	}
	u.change.Uid, u.change.Gid, u.change.Groups = groups[0], groups[1], groups[2:]
	return u, nil
}

// Self returns the user that this process runs as.
func Self() User {
	if u, err := user.Current(); err == nil {
		return User{Name: u.Username, Home: u.HomeDir}
	}
	return User{Name: strconv.Itoa(os.Geteuid())} // not in the list of users, as in a container
}

// group returns the name of the group of u, or of this process, or its number.
func (u User) group() string {
	id := strconv.Itoa(os.Getegid())
	if u.change != nil {
		id = strconv.FormatUint(uint64(u.change.Gid), 10)
	}
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// named returns the name of a user id, or the id.
func named(id string) string {
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// MakeFolder makes a missing folder that belongs to u; its parent must exist.
// What is there already is left as it is.
func (u User) MakeFolder(path string) error {
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && u.change != nil {
		err = os.Lchown(path, int(u.change.Uid), int(u.change.Gid))
	}
	return err
}

// environ returns env as u has it.
func (u User) environ(env []string) []string {
	if u.change == nil {
		return env
	}
	kept := make([]string, 0, len(env)+3)
	for _, entry := range env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "HOME", "USER", "LOGNAME":
		default:
			kept = append(kept, entry)
		}
	}
	return append(kept, "HOME="+u.Home, "USER="+u.Name, "LOGNAME="+u.Name)
}

func numbers(texts []string) ([]uint32, error) {
	list := make([]uint32, len(texts))
	for i, text := range texts {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("id %q is no number", text)
		}
		list[i] = uint32(n)
	}
	return list, nil
}
