//go:build functional

package functional

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
)

// webServer serves the status files of all stories, as one would serve them to
// other programs.
type webServer struct {
	root    string // has a folder for every story
	address string
}

const webRepository = "plusmoin-web"

func startWeb() (*webServer, error) {
	root, err := os.MkdirTemp("", "plusmoin-functional")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(root, 0o755); err != nil { // the server runs as a user of its own
		return nil, err
	}
	container, err := docker.RunWithOptions(&dockertest.RunOptions{
		Repository: webRepository, Labels: labels(), Mounts: []string{root + ":/status:ro"}, ExposedPorts: []string{"80/tcp"},
		PortBindings: map[dc.Port][]dc.PortBinding{"80/tcp": {{HostIP: "127.0.0.1"}}},
	})
	if err != nil {
		return nil, fmt.Errorf("web server: %w", err)
	}
	return &webServer{root, container.GetHostPort("80/tcp")}, nil
}

// folder is where the status file of a story is served from.
func (s *webServer) folder(l *lab) string { return filepath.Join(s.root, l.id) }

// get reads a file of a story.
func (s *webServer) get(l *lab, file string) ([]byte, error) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(fmt.Sprintf("http://%s/%s/%s", s.address, l.id, file))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", file, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// close ends the server and removes all that was served. Its container is swept.
func (s *webServer) close() {
	if err := os.RemoveAll(s.root); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
}
