package demo

import "syscall"

// dyingWithParent makes a process die with the thread that starts it, and
// keeps Ctrl-C from it: that is for the demo, which then ends all in order.
func dyingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
