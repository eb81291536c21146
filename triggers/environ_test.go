package triggers

import (
	"os"
	"os/user"
	"testing"
)

// Whom a command runs as is told by the system, and by the environment only
// where that can be believed.
func TestSelf(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	const stranger = 54321 // in no list of users
	mine := stranger + 1
	if os.Geteuid() == 0 {
		if err := os.Chown(own, mine, -1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name       string
		uid        int
		environ    []string
		user, home string
	}{
		{"listed", os.Geteuid(), []string{"HOME=/elsewhere", "USER=another"}, me.Username, me.HomeDir},
		{"nobody knows", stranger, nil, "54321", "/"},
		{"whoever started us", stranger, []string{"HOME=/root", "USER=root"}, "54321", "/"},
		{"made by systemd", stranger, []string{"HOME=/", "USER=plusmoin"}, "plusmoin", "/"},
		{"a home that is not there", stranger, []string{"HOME=/no/where", "USER=plusmoin"}, "54321", "/"},
		{"of a directory service", mine, []string{"HOME=/x", "HOME=" + own, "USER=dba"}, "dba", own},
	} {
		if c.uid == mine && os.Geteuid() != 0 {
			t.Log("NOT CHECKED: only root can give a folder away")
			continue
		}
		if name, home := self(c.uid, c.environ); name != c.user || home != c.home {
			t.Errorf("%s: user %q, home %q, want %q and %q", c.name, name, home, c.user, c.home)
		}
	}
}
