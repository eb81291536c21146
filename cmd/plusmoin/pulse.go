package main

import (
	"time"

	"plusmoin/cluster"
	"plusmoin/config"
	"plusmoin/daemon"
)

// pulse tells of the first round, and feeds systemd's watchdog by every one.
type pulse struct {
	systemd *daemon.Systemd
	begun   bool
	first   func()
	// schedule is read by the loop, and changed only when the loop adopts
	// another configuration.
	schedule config.Heartbeat
}

// Heard is called when the status file has been written.
func (p *pulse) Heard(cluster.Snapshot, []cluster.Event) {
	if !p.begun {
		p.begun = true
		p.first()
		p.systemd.Ready()
	}
	now := time.Now()
	p.systemd.Alive(p.schedule.Next(now).Sub(now))
}
