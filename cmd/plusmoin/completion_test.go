package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBashCompletionNeedsNothingElse completes in a shell that has read nothing,
// neither start files nor the package bash-completion.
func TestBashCompletionNeedsNothingElse(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT CHECKED: bash is not installed")
	}
	dir := t.TempDir()
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary is plusmoin when it is called so.
	program := filepath.Join(dir, "plusmoin")
	if err := os.Symlink(test, program); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string   // its last word is the one to complete
		want []string // no-files if bash is not to complete the names of files
	}{
		{"plusmoin ", []string{"check", "completion", "demo", "help", "no-files", "reload", "start", "status", "stop"}},
		{"plusmoin sta", []string{"no-files", "start", "status"}},
		{"plusmoin -c /etc/x status --na", []string{"--nagios", "no-files"}},
		{"plusmoin completion ", []string{"bash", "fish", "no-files", "zsh"}},
		{"plusmoin status ", []string{"no-files"}},
		{"plusmoin status --status-file /et", nil}, // a file, which bash completes
		{"plusmoin status --status-file = /et", nil},
	} {
		words := strings.Split(c.line, " ")
		script := bashCompletion + `
compopt() { echo no-files; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_plusmoin
(( ${#COMPREPLY[@]} == 0 )) || printf '%s\n' "${COMPREPLY[@]}"
`
		cmd := exec.Command(bash, append([]string{"--norc", "--noprofile", "-c", script, "bash"}, words...)...)
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "PLUSMOIN_TEST_MAIN=1"}
		out, err := cmd.CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q gives %v, %q, want %q", c.line, err, got, c.want)
		}
	}
}
