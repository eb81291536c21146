//go:build functional

package functional

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ory/dockertest/v3"
)

// versions are the major versions of PostgreSQL that the core stories are told
// on, those of the supported Debian releases; usual is the one for the others.
var versions = []string{"13", "15", "17", "18"}

const usual = "17"

// All stories share an engine and a web server.
var (
	docker *dockertest.Pool
	web    *webServer
)

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		fmt.Fprintln(os.Stderr, "hint: make functional makes the images and runs the stories")
		os.Exit(1)
	}
	go sweepWhenInterrupted()
	code := m.Run()
	web.close()
	if err := sweep(ours); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

// prepare reaches the engine and looks whether the images are there.
func prepare() error {
	if v := os.Getenv("POSTGRES"); v != "" && !slices.Contains(versions, v) {
		return fmt.Errorf("POSTGRES=%s is none of %s", v, strings.Join(versions, ", "))
	}
	var err error
	if docker, err = dockertest.NewPool(""); err != nil {
		return err
	}
	if err := docker.Client.Ping(); err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	images := []string{plusmoinImage, webRepository, systemdImage("bookworm"), systemdImage("trixie")}
	for _, v := range told(versions...) {
		images = append(images, postgresImage(v))
	}
	for _, image := range images {
		if _, err := docker.Client.InspectImage(image); err != nil {
			return fmt.Errorf("image %s: %w", image, err)
		}
	}
	if err := sweep(abandoned); err != nil {
		return err
	}
	web, err = startWeb()
	return err
}

// told returns the one version that was asked for, or else those given.
func told(otherwise ...string) []string {
	if v := os.Getenv("POSTGRES"); v != "" {
		return []string{v}
	}
	return otherwise
}

// core tells a story on every version, others on the usual one. Stories run side
// by side: see -parallel.
func core(t *testing.T, story func(*lab))   { tell(t, told(versions...), story) }
func others(t *testing.T, story func(*lab)) { tell(t, told(usual), story) }

func tell(t *testing.T, on []string, story func(*lab)) {
	t.Parallel()
	for _, v := range on {
		t.Run("PostgreSQL"+v, func(t *testing.T) {
			t.Parallel()
			story(newLab(t, v))
		})
	}
}
