package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSystemd plays systemd: it listens where the program is to tell what it
// does.
func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	conf := `{"dbname": "plusmoin", "user": "plusmoin", "heartbeat": "@every 0.1s", "status_file": "status.json"}`
	path := filepath.Join(dir, "plusmoin.json")
	write(t, path, conf)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	program, err := exec.LookPath("plusmoin")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-x", "-c", path, "start")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC=2000000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hear := func(wanted string) string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for buffer := make([]byte, 4096); ; {
			n, err := socket.Read(buffer)
			if err != nil {
				t.Fatalf("waiting for %s: %v", wanted, err)
			}
			if text := string(buffer[:n]); strings.HasPrefix(text, wanted) {
				return text
			}
		}
	}
	hear("READY=1")
	if _, err := os.Stat(filepath.Join(dir, "status.json")); err != nil {
		t.Errorf("ready before there was a status: %v", err)
	}
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")

	write(t, path, strings.Replace(conf, "0.1s", "1h", 1))
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if text := hear("RELOADING=1"); !strings.Contains(text, "MONOTONIC_USEC=") {
		t.Errorf("no time in %q", text)
	}
	// Rounds are an hour apart now, which systemd must be told in time. That
	// may come before or after READY=1.
	patient := hear("WATCHDOG=1\nWATCHDOG_USEC=")
	if !strings.HasSuffix(patient, "=3602000000") && !strings.HasSuffix(patient, "=3600000000") {
		t.Errorf("asked for %q, want an hour and the unit's two seconds", patient)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
