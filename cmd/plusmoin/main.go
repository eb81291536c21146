// Command plusmoin watches PostgreSQL clusters in master/slave replication: it
// tells by triggers and a status file which node is master, which slaves are
// in sync with it and which nodes are lost.
//
// This package is the only one that knows all others and connects them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// version is set when a release is built.
var version string

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if asPlugin(args) {
		return failPlugin(stdout, err)
	}
	complain(stderr, err)
	var code exitCode
	if errors.As(err, &code) {
		return code.code
	}
	return 1
}

// exitCode is an error that ends the program with a code of its own. Without
// err it says nothing.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitCode) Unwrap() error { return e.err }

// hinted is an error with a word on what to do about it.
type hinted struct {
	err  error
	hint string
}

func (h hinted) Error() string { return h.err.Error() }
func (h hinted) Unwrap() error { return h.err }

// withHint adds a hint to an error that has none.
func withHint(err error, hint string) error {
	var h hinted
	if hint == "" || errors.As(err, &h) {
		return err
	}
	return hinted{err, hint}
}

// complain prints an error and its hint.
func complain(w io.Writer, err error) {
	if err.Error() == "" {
		return
	}
	fmt.Fprintf(w, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return "devel"
}
