package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestMain makes the test binary be plusmoin when it is called by that name,
// as scripts do, or with PLUSMOIN_TEST_MAIN=1 in its environment.
func TestMain(m *testing.M) {
	if os.Getenv("PLUSMOIN_TEST_MAIN") == "1" {
		main()
		return
	}
	// logrotate is where not every user looks for programs.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testscript.Main(m, map[string]func(){"plusmoin": main, "stranger": stranger})
}

// stranger is another program, which holds the lock on the file it is given
// until it is ended.
func stranger() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	file, err := os.OpenFile(os.Args[1], os.O_RDWR|os.O_CREATE, 0o644)
	if err == nil {
		err = unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	if err == nil {
		err = os.WriteFile(os.Args[1]+".held", []byte("held\n"), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-stop
}
