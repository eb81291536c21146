package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// child is plusmoin, running.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; to be read after that
}

// launch starts a program that ends with this one. The goroutine keeps its
// thread, since the signal at a parent's death is sent when the thread ends
// that started the child.
func launch(cmd *exec.Cmd) (*child, error) {
	cmd.SysProcAttr = dyingWithParent()
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// ended returns how the child ended, nil while it runs.
func (c *child) ended() error {
	select {
	case <-c.done:
		if c.err == nil {
			return errors.New("plusmoin has ended by itself")
		}
		return fmt.Errorf("plusmoin has ended: %w", c.err)
	default:
		return nil
	}
}

// goodbye is how long plusmoin may take to stop; it promises ten seconds.
const goodbye = 15 * time.Second

// stop ends the child, by force if it takes too long, which is an error.
func (c *child) stop() error {
	if c.ended() != nil {
		return nil
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has just ended
	timer := time.NewTimer(goodbye)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
		_ = c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("plusmoin did not stop within %v and was killed", goodbye)
	}
}

// plainEnviron is our environment without what would make libpq's variables
// part of the demo.
func plainEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "PG") })
}
