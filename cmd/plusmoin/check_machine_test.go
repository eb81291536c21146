package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/postgres"
)

func TestProgramOf(t *testing.T) {
	shell := func(line string) []string { return []string{"/bin/sh", "-c", line} }
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"pager", "x"}, "pager"}, {[]string{"/bin/sh", "/script"}, "/bin/sh"},
		{shell("/usr/local/bin/up --now"), "/usr/local/bin/up"}, {shell("  /a\t>b"), "/a"},
		{shell("echo up"), ""}, {shell(`"/a b" c`), ""}, {shell("/a;b"), ""}, {shell("$HOME/a"), ""}, {shell("/opt/*/up"), ""}, {shell("/a=1 b"), ""},
	} {
		if got := programOf(c.argv); got != c.want {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
}

// Whatever keeps a program from being run is told.
func TestExecutable(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for program, want := range map[string]string{
		write("fine", "#!/bin/sh -e\n", 0o755):     "",
		write("binary", "\x7fELF", 0o755):          "",
		write("empty", "", 0o755):                  "",
		write("plain", "#!/bin/sh\n", 0o644):       "is not executable",
		write("dos", "#!/bin/sh\r\n", 0o755):       "end as in DOS",
		write("lost", "#!/opt/none/perl\n", 0o755): "needs /opt/none/perl",
		write("none", "#!\n", 0o755):               "names no interpreter",
		dir:                                        "is a directory",
		dir + "/nothing":                           "there is no",
		"bin/relative":                             "is no absolute path",
		"no-such-program-anywhere":                 "in PATH",
		"sh":                                       "",
	} {
		if _, got := executable(program); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", program, got, want)
		}
	}
}

// Rights of a user that the check does not run as are read from modes.
func TestActor(t *testing.T) {
	dir := t.TempDir()
	secret, open := filepath.Join(dir, "secret"), filepath.Join(dir, "open")
	for _, d := range []string{secret, open} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "file"), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // t.TempDir has two of its own
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := actor{name: "stranger", uid: 4_000_000, assumed: true}
	member := actor{name: "member", uid: 4_000_000, groups: []int{os.Getgid()}, assumed: true}
	for _, c := range []struct{ got, want string }{
		{stranger.reads(secret + "/file"), "may not enter the directory " + secret},
		{stranger.reads(open + "/file"), "may not read " + open + "/file"},
		{member.reads(open + "/file"), ""},
		{member.writes(open+"/file", false), "may not write " + open + "/file"},
		{member.writes(open+"/file", true), "may not write " + open},
		{member.writes(open+"/new/deep/file", true), "may not write " + open},
		{stranger.reads(open + "/nothing"), "there is no"},
		{stranger.reads(open), "is a directory"},
		{stranger.writes("/run/plusmoin/x", true), ""},
		{stranger.executes(open + "/file"), "may not run"},
	} {
		if c.want == "" && c.got != "" || !strings.Contains(c.got, c.want) {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// A trigger that nobody can run is a problem; what can be run is not spoken of.
func TestCheckOfTriggers(t *testing.T) {
	c := check{cfg: config.Config{DaemonUser: "root", Triggers: oneTrigger(cluster.MasterUp, []string{"/opt/none/up"})}}
	found := c.programs(actor{name: "root"})
	if len(found) != 1 || found[0].Weight != postgres.Problem || found[0].Text != "trigger master_up: there is no /opt/none/up" {
		t.Errorf("%+v", found)
	}
	c.cfg.Triggers = oneTrigger(cluster.MasterUp, []string{"/bin/sh", "-c", "exit 1"})
	if found := c.programs(actor{name: "root"}); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func oneTrigger(kind cluster.Kind, argv []string) map[cluster.Kind]map[string][]string {
	return map[cluster.Kind]map[string][]string{kind: {"": argv}}
}
