//go:build linux

package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
)

// plusmoin is the program that is judged, as a process of its own.
type plusmoin struct {
	dir     string
	clock   *wallClock
	process *os.Process
	ended   chan error // how the process ended; capacity 1
}

// newPlusmoin builds it.
func newPlusmoin(dir string) (*plusmoin, error) {
	p := &plusmoin{dir: dir}
	if err := buildStepped(dir, p.file("plusmoin")); err != nil {
		return nil, err
	}
	var err error
	p.clock, err = newClock(p.file("clock"))
	return p, err
}

func (p *plusmoin) file(name string) string { return filepath.Join(p.dir, name) }

// The modes of the trigger that does not always do well.
const (
	wellMode     = "well"
	failMode     = "fail"
	hangMode     = "hang"
	stubbornMode = "stubborn"
)

// triggerTimeout ends a trigger that hangs.
const triggerTimeout = 2 * time.Second

// recorder is a trigger that appends what it reads to a file in one write, so
// that those of two clusters do not mix.
func (p *plusmoin) recorder() string {
	return "dd of=" + p.file("events.jsonl") + " oflag=append conv=notrunc bs=4M iflag=fullblock status=none"
}

// moody is a recorder that then does what the file "mode" says.
func (p *plusmoin) moody() string {
	return p.recorder() + `
case "$(cat ` + p.file("mode") + `)" in
fail) echo no luck >&2; exit 3 ;;
hang) exec sleep 30 ;;
stubborn) trap '' TERM; sleep 30 ;;
esac`
}

// configure writes the configuration for what the world is like now.
func (p *plusmoin) configure(w *world) error {
	triggers := map[string]string{}
	for _, k := range cluster.Kinds() {
		triggers[string(k)] = p.recorder()
	}
	triggers[string(cluster.SlaveUp)] = p.moody()
	triggers[string(cluster.MasterDown)] = p.moody()
	nodes := []map[string]any{}
	for _, n := range w.servers {
		if n.configured {
			nodes = append(nodes, map[string]any{"host": n.Host(), "port": n.Port()})
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"dbname": pglab.Database, "user": pglab.User, "password": pglab.Password,
		"heartbeat": w.heartbeat, "fail_interval": w.failInterval.Seconds(),
		"max_sync_delay": w.maxSync.Seconds(), "recover_sync_delay": w.recoverSync.Seconds(),
		"connect_timeout": 3, "connection_lifetime": 20,
		"trigger_timeout": triggerTimeout.Seconds(), "log_level": "debug",
		"status_file": p.file("status.json"), "pid_file": p.file("pid"), "log_file": p.file("unused.log"),
		"nodes": nodes, "triggers": triggers,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(p.file("plusmoin.json"), text, 0o600)
}

func (p *plusmoin) setMode(mode string) error {
	return os.WriteFile(p.file("mode"), []byte(mode), 0o644)
}

func (p *plusmoin) start() error {
	log, err := os.OpenFile(p.file("plusmoin.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.file("plusmoin"), "-c", p.file("plusmoin.json"), "-x", "start")
	cmd.Env = append(os.Environ(), "SOAK_CLOCK="+p.file("clock"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	p.process, p.ended = cmd.Process, ended
	go func() { ended <- cmd.Wait() }()
	return nil
}

// died says that plusmoin has ended though nobody told it to.
func (p *plusmoin) died() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("plusmoin has ended: %w", errors.Join(err, errors.New("nobody told it to")))
	default:
		return nil
	}
}

// stop ends plusmoin as an operator would.
func (p *plusmoin) stop() error {
	if err := p.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-p.ended:
		p.process = nil
		if err != nil {
			return fmt.Errorf("plusmoin after SIGTERM: %w", err)
		}
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("plusmoin still runs 20 s after SIGTERM")
	}
}

// kill ends plusmoin as no operator should.
func (p *plusmoin) kill() error {
	if p.process == nil {
		return nil
	}
	err := p.process.Kill()
	<-p.ended
	p.process = nil
	return err
}
