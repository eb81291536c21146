//go:build functional

package functional

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dc "github.com/ory/dockertest/v3/docker"
)

// TestInstall follows the lines of README.md, word for word, on a bare Debian with
// systemd and a PostgreSQL server as Debian installs it.
func TestInstall(t *testing.T) {
	t.Parallel()
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			m := bare(newLab(t, usual), suite)
			lines := section(t, "Install").code("sh")
			if len(lines) != 3 || !strings.HasPrefix(lines[0], "make build") {
				t.Fatalf("section Install has the blocks %q, want to build, to install and to start", lines)
			}
			m.follow(lines[1])
			m.prepareCluster()
			m.fillIn()
			m.follow(lines[2])
			m.isWell()
			m.obeysSystemd()
		})
	}
}

// TestInstallWithoutSystemd follows the other lines.
func TestInstallWithoutSystemd(t *testing.T) {
	t.Parallel()
	m := bare(newLab(t, usual), "trixie")
	lines := section(t, "Install").part("Without systemd").code("sh")
	if len(lines) != 2 {
		t.Fatalf("section Without systemd has the blocks %q, want to install and to start", lines)
	}
	m.follow(lines[0])
	m.prepareCluster()
	m.fillIn()
	m.follow(lines[1])
	m.isWell()
	m.answers("stat -c %U:%a /var/log/plusmoin/plusmoin.log /run/plusmoin/plusmoin.pid", "^plusmoin:640\nplusmoin:644$")
	m.answers("plusmoin stop", "^plusmoin has stopped, pid")
}

// systemdImage is a bare Debian of a suite.
func systemdImage(suite string) string { return "plusmoin-systemd:" + suite }

// machine is a bare Debian.
type machine struct {
	*host
	address string
}

func bare(l *lab, suite string) *machine {
	l.Helper()
	source, err := filepath.Abs("..")
	l.must(err)
	h := l.run("monitor", dc.CreateContainerOptions{
		Config: &dc.Config{Image: systemdImage(suite), WorkingDir: "/src"},
		HostConfig: &dc.HostConfig{
			CapAdd:      []string{"SYS_ADMIN"},
			SecurityOpt: []string{"seccomp=unconfined", "apparmor=unconfined"},
			Binds:       []string{source + ":/src:ro"},
			Tmpfs:       map[string]string{"/run": "exec", "/run/lock": "", "/tmp": ""},
		},
	}, l.watching)
	m := &machine{host: h, address: h.container.GetIPInNetwork(l.watching)}
	l.await("systemd has started everything", func() (bool, error) {
		text, err := m.try("sh", "-c", "systemctl is-system-running || true")
		return text == "running" || text == "degraded", err
	})
	return m
}

// follow runs lines of the documentation, each of which must succeed.
func (m *machine) follow(lines string) {
	m.lab.Helper()
	m.lab.Logf("%s", m.exec("sh", "-e", "-x", "-c", lines+"\n"))
}

// answers checks what a command prints.
func (m *machine) answers(command, want string) {
	m.lab.Helper()
	if answer := m.exec("sh", "-c", command); !regexp.MustCompile(want).MatchString(answer) {
		m.lab.Errorf("%s: %q, want %s", command, answer, want)
	}
}

// prepareCluster does what the documentation says, but for the address, which it
// says is the reader's own, on a server that listens to others.
func (m *machine) prepareCluster() {
	m.lab.Helper()
	prepare := section(m.lab.T, "Prepare the cluster")
	letIn := regexp.MustCompile(`10\.0\.0\.1/32`).ReplaceAllString(prepare.code("")[0], m.address+"/32")
	m.exec("sh", "-e", "-c", `
		until su postgres -c "psql -qc 'SELECT 1'" >/dev/null 2>&1; do sleep 0.2; done
		echo "$0 db1.example.com" >>/etc/hosts
		printf '%s' "$1" >/tmp/lines.sql
		su postgres -c 'psql -v ON_ERROR_STOP=1 -qf /tmp/lines.sql'
		su postgres -c "psql -qc \"ALTER SYSTEM SET listen_addresses = '*'\""
		printf '%s' "$2" >>$(su postgres -c "psql -Atc 'SHOW hba_file'")
		systemctl restart 'postgresql@*'`, m.address, prepare.code("sql")[0], letIn)
}

// fillIn writes into the configuration what it leaves to the reader.
func (m *machine) fillIn() {
	m.lab.Helper()
	m.exec("sed", "-i", "-e", `s|"password": "nothing"|"password": "carrotcake"|`,
		"-e", `s|"nodes": \[|&{"host": "db1.example.com", "port": 5432},|`, "-e", `s|// "heartbeat": 60|"heartbeat": 1|`, "/etc/plusmoin/plusmoin.json")
}

// isWell checks that plusmoin runs as it should.
func (m *machine) isWell() {
	m.lab.Helper()
	m.lab.await("plusmoin has found the master", func() (bool, error) {
		text, err := m.try("sh", "-c", "plusmoin status --table || true")
		return strings.Contains(text, "db1.example.com:5432  master") && strings.Contains(text, "running"), err
	})
	m.answers("stat -c %U:%G:%a /etc/plusmoin /etc/plusmoin/plusmoin.json", "^root:plusmoin:750\nroot:plusmoin:640$")
	m.answers("stat -c %U:%a /run/plusmoin/status.json /run/plusmoin/status.json.lock", "^plusmoin:644\nplusmoin:644$")
	m.answers("cat /proc/$(head -n 1 /run/plusmoin/status.json.lock)/comm", "^plusmoin$")
	m.answers("test $(awk '/^Uid:/ {print $3}' /proc/$(head -n 1 /run/plusmoin/status.json.lock)/status) = $(id -u plusmoin) && echo its own user", "^its own user$")
}

// obeysSystemd checks that systemd started it at the first try, reloads it, and
// stops it.
func (m *machine) obeysSystemd() {
	m.lab.Helper()
	m.answers("systemctl is-active plusmoin; systemctl is-enabled plusmoin; systemctl show -p NRestarts --value plusmoin", "^active\nenabled\n0$")
	m.answers("journalctl -q -u plusmoin -o cat | grep level=ERROR || echo no error", "^no error$")
	m.answers("stat -c %U:%a /var/lib/plusmoin /var/log/plusmoin", "^plusmoin:750\nplusmoin:750$")
	m.answers("sed -i 's|\"heartbeat\": 1|\"heartbeat\": 2|' /etc/plusmoin/plusmoin.json && systemctl reload plusmoin && grep -o '\"heartbeat\":2,' /run/plusmoin/status.json", "heartbeat")
	m.answers("cp -p /etc/plusmoin/plusmoin.json /tmp/good; echo broken >>/etc/plusmoin/plusmoin.json; systemctl reload plusmoin 2>&1 || echo refused", "refused$")
	m.answers("cp -p /tmp/good /etc/plusmoin/plusmoin.json; systemctl is-active plusmoin; plusmoin -x start 2>&1 || true", "^active\n(warning: .*\n)?error: another plusmoin writes /.*\nhint: .* kill [0-9]+, or systemctl stop")
	// It may be restarted as often as somebody likes: systemd's own limit is five
	// times in ten seconds.
	m.answers("for n in 1 2 3 4 5 6 7; do systemctl restart plusmoin || journalctl -q --no-pager -n 30; done; systemctl is-active plusmoin", "^active$")
	m.answers("systemctl stop plusmoin; systemctl show -p Result --value plusmoin; ls /run/plusmoin 2>&1 || true", "^success\n.*No such file")
}

// readme is a part of README.md.
type readme string

// section returns the part of README.md below a title.
func section(t *testing.T, title string) readme {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	part := readme("\n"+string(text)).below("\n## "+title+"\n", "\n## ")
	if part == "" {
		t.Fatalf("README.md has no section %q", title)
	}
	return part
}

// part returns what is below a title of the next level.
func (r readme) part(title string) readme { return r.below("\n### "+title+"\n", "\n### ") }

func (r readme) below(title, next string) readme {
	_, text, _ := strings.Cut(string(r), title)
	text, _, _ = strings.Cut(text, next)
	return readme(text)
}

// code returns the blocks of a language that stand before the next title.
func (r readme) code(language string) []string {
	text, _, _ := strings.Cut(string(r), "\n### ")
	var blocks []string
	for _, found := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if found[1] == language {
			blocks = append(blocks, found[2])
		}
	}
	return blocks
}
