package config

import (
	"errors"
	"io/fs"
	"testing"
)

func TestPlaces(t *testing.T) {
	const pid, status = "/var/run/plusmoin/plusmoin.pid", "/var/run/plusmoin/status.json"
	for _, c := range []struct{ text, pid, status, user string }{
		{`{"dbname": 7, "pid_file": "/a", "daemon_user": "u", "nonsense": 1}`, "/a", status, "u"},
		{"{\n  \"pid_file\": \"/a\"\n  \"status_file\": \"/b\",\n  \"daemon_user\": \"u\"\n", "/a", "/b", "u"},
		{"{\n  // \"pid_file\": \"/a\",\n  \"status_file\" : \"/b\",\n  \"nodes\": [", pid, "/b", "nobody"},
		{"{ \"pid_file\": \"/a\",, }", "/a", status, "nobody"},
		{`{"pid_file": 7, "status_file": ""}`, pid, status, "nobody"},
		{"[]", pid, status, "nobody"},
		{"", pid, status, "nobody"},
	} {
		got, err := Places(file(t, c.text, 0o600))
		if err != nil || got.PidFile != c.pid || got.StatusFile != c.status || got.DaemonUser != c.user {
			t.Errorf("%s: %q, %q, %q, %v", c.text, got.PidFile, got.StatusFile, got.DaemonUser, err)
		}
	}
	if _, err := Places(t.TempDir() + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}
