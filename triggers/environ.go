package triggers

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"plusmoin/cluster"
)

// passed says whether commands get a variable of this process's environment.
// The list is short and names no secret on purpose: what plusmoin was started
// with may hold passwords under any name, and sockets that are meant for it
// alone.
func passed(name string) bool {
	return slices.Contains([]string{"PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR"}, name) || strings.HasPrefix(name, "LC_")
}

// inherited returns what every command gets: what is passed on of environ, and
// who this process runs as, whatever environ says of that.
func inherited(environ []string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !passed(name)
	})
	name, home := self(os.Geteuid(), environ)
	return append(kept, "HOME="+home, "USER="+name, "LOGNAME="+name, "SHELL="+shell)
}

// shell is what a command finds as SHELL. That of the user is none where the
// user is one that nobody logs on as.
const shell = "/bin/sh"

// self returns the name and the home of the user with an id, as whom this
// process runs. One
// who is not in the system's own list, but in a directory service or made by
// systemd for this run, is believed to be whom environ tells of if it names a
// home that is the user's own, or none: else it may tell of whoever started us.
func self(uid int, environ []string) (name, home string) {
	if name, home, ok := listed(uid); ok {
		return name, home
	}
	value := func(name string) string {
		for _, entry := range slices.Backward(environ) {
			if n, v, _ := strings.Cut(entry, "="); n == name {
				return v
			}
		}
		return ""
	}
	name, home = value("USER"), value("HOME")
	if name == "" || home != "/" && owner(home) != uid {
		return strconv.Itoa(uid), "/"
	}
	return name, home
}

// listed looks a user up in /etc/passwd. Package os/user would take the word of
// the environment for who we are.
func listed(uid int) (name, home string, ok bool) {
	file, err := os.Open("/etc/passwd")
	if err != nil {
		return "", "", false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		field := strings.Split(lines.Text(), ":")
		if len(field) > 5 && field[2] == strconv.Itoa(uid) {
			return field[0], field[5], true
		}
	}
	return "", "", false
}

// owner returns who owns a file, -1 if there is none.
func owner(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// environ returns the environment of the command that is to read p.
func environ(s Settings, p cluster.Payload) []string {
	split := ""
	if from := p.SplitFrom; from != nil {
		split = strconv.Itoa(*from)
	}
	node := ""
	if p.Trigger != nil {
		node = cluster.Node{Host: p.Trigger.Host, Port: p.Trigger.Port}.String()
	}
	return slices.Concat(s.Environ, []string{
		"PLUSMOIN_EVENT=" + string(p.Event),
		"PLUSMOIN_EVENT_ID=" + strconv.FormatInt(p.EventID, 10),
		"PLUSMOIN_CLUSTER_ID=" + strconv.Itoa(p.ClusterID),
		"PLUSMOIN_NODE=" + node,
		"PLUSMOIN_SPLIT_FROM=" + split,
		"PLUSMOIN_STATUS_FILE=" + s.StatusFile,
	})
}
