//go:build !linux

package demo

import "syscall"

// dyingWithParent keeps Ctrl-C from a process: that is for the demo, which then
// ends all in order. Only Linux has death signals.
func dyingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
