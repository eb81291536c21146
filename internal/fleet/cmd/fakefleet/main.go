// Command fakefleet plays a fleet of PostgreSQL nodes; see package fleet.
//
// It prints "ready PORT" and then reads commands from its standard input, one
// a line. Each is answered by a line, "ok ..." or "error: ...". It ends with
// its input, so that it does not outlive the program that started it.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"

	"plusmoin/internal/fleet"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var o fleet.Options
	flags := flag.NewFlagSet("fakefleet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.Nodes, "nodes", 3, "`number` of nodes")
	flags.IntVar(&o.Slaves, "slaves", 2, "`number` of slaves of each master")
	flags.IntVar(&o.Port, "port", 0, "the `port` of all nodes, 0 for any that is free")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "fakefleet [options] < commands")
		flags.PrintDefaults()
		fmt.Fprint(stderr, "\n", fleet.Usage)
	}
	if err := flags.Parse(args); err != nil {
		return 2
	}
	f, err := fleet.Open(o)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return 1
	}
	defer f.Close()
	fmt.Fprintln(stdout, "ready", f.Port())
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		if answer, err := f.Do(lines.Text()); err != nil {
			fmt.Fprintln(stdout, "error:", err)
		} else {
			fmt.Fprintln(stdout, "ok", answer)
		}
	}
	return 0
}
