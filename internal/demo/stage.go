package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"plusmoin/cluster"
	"plusmoin/internal/pglab"
	"plusmoin/status"
)

// What plusmoin is configured with, in seconds: as quick as it can be without
// taking a single missed answer for a death.
const (
	heartbeat    = 1
	failInterval = 1
	maxSync      = 10
	recoverSync  = 5
)

// stage is what the story is played on: servers, a folder, plusmoin.
type stage struct {
	program       string
	lab           *pglab.Lab
	db1, db2, db3 *pglab.Server
	folder        string // of plusmoin, within that of the lab
	trail         *trail
	plusmoin      *child // nil until it is started
	homes         []home // set when people may play with the servers
}

func (s *stage) configFile() string { return filepath.Join(s.folder, "plusmoin.json") }
func (s *stage) statusFile() string { return filepath.Join(s.folder, "status.json") }
func (s *stage) eventsFile() string { return filepath.Join(s.folder, "events.log") }
func (s *stage) scriptFile() string { return filepath.Join(s.folder, "trigger") }
func (s *stage) logFile() string    { return filepath.Join(s.folder, "plusmoin.log") }

// script is the trigger of every event.
const script = `#!/bin/sh
# plusmoin runs this at every event, with a line of JSON on standard input.
cat >>"$1"
`

// openStage returns an empty stage, which needs strike in the end.
func openStage(ctx context.Context, program string) (*stage, error) {
	lab, err := pglab.Open(ctx, pglab.Options{})
	if err != nil {
		return nil, err
	}
	return &stage{program: program, lab: lab}, nil
}

// furnish starts the servers and writes plusmoin's files.
func (s *stage) furnish(ctx context.Context) error {
	servers, err := s.lab.Cluster(ctx, "db1", "db2", "db3")
	if err != nil {
		return err
	}
	s.db1, s.db2, s.db3 = servers[0], servers[1], servers[2]
	s.folder = filepath.Join(s.db1.SocketDir(), "plusmoin")
	if err := s.writeFiles(); err != nil {
		return err
	}
	s.trail, err = openTrail(s.eventsFile())
	return err
}

func (s *stage) writeFiles() error {
	if err := os.Mkdir(s.folder, 0o755); err != nil {
		return err
	}
	config, err := s.configText()
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(s.scriptFile(), []byte(script), 0o755),
		os.WriteFile(s.configFile(), config, 0o600), // it holds a password
	)
}

func (s *stage) configText() ([]byte, error) {
	type node struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	var nodes []node
	for _, server := range s.lab.Servers() {
		nodes = append(nodes, node{server.Host(), server.Port()})
	}
	triggers := map[cluster.Kind][]string{}
	for _, kind := range cluster.Kinds() {
		if kind != cluster.PlusmoinHeartbeat { // once a second would bury the others
			triggers[kind] = []string{"/bin/sh", s.scriptFile(), s.eventsFile()}
		}
	}
	return json.MarshalIndent(map[string]any{
		"dbname": pglab.Database, "user": pglab.User, "password": pglab.Password, "sslmode": "disable",
		"heartbeat": heartbeat, "fail_interval": failInterval,
		"max_sync_delay": maxSync, "recover_sync_delay": recoverSync,
		"nodes": nodes, "triggers": triggers,
		"status_file": s.statusFile(), "log_file": s.logFile(), "log_level": "info",
		"pid_file": filepath.Join(s.folder, "plusmoin.pid"),
	}, "", "  ")
}

// start starts plusmoin.
func (s *stage) start() error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.program, "-c", s.configFile(), "-x", "start")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", plainEnviron(), log, log
	s.plusmoin, err = launch(cmd)
	if err != nil {
		return fmt.Errorf("plusmoin: %w", err)
	}
	return nil
}

// look returns what plusmoin's status file says. There is none at first.
func (s *stage) look() (status.Document, error) {
	doc, err := status.Read(s.statusFile())
	if errors.Is(err, os.ErrNotExist) {
		return status.Document{}, nil
	}
	return doc, err
}

// log returns the last lines that plusmoin has logged.
func (s *stage) log(lines int) string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// strike ends plusmoin, then the servers, and removes the folder.
func (s *stage) strike() error {
	var errs []error
	if s.plusmoin != nil {
		errs = append(errs, s.plusmoin.stop())
	}
	if s.trail != nil {
		errs = append(errs, s.trail.close())
	}
	for _, h := range s.homes {
		errs = append(errs, h.endStray())
	}
	return errors.Join(append(errs, s.lab.Close())...)
}
