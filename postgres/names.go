package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// resolve returns the addresses of a host, the best first.
func resolve(ctx context.Context, host string) ([]string, error) {
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err == nil && len(found) > 0 {
		return found, nil
	}
	if none := outOfDescriptors(); none != nil {
		return nil, errors.Join(err, none)
	}
	if ctx.Err() != nil {
		return nil, err
	}
	others := otherSources()
	if len(others) == 0 {
		return nil, err
	}
	found, asked := askSystem(ctx, host)
	if len(found) > 0 {
		return found, nil
	}
	if asked != nil {
		err = errors.Join(err, fmt.Errorf("nsswitch.conf also names %s: %w", strings.Join(others, ", "), asked))
	}
	return nil, err
}

// outOfDescriptors returns an error if there is no file descriptor to be had.
// The resolver does not say so: it takes files that it cannot open for empty
// ones, and the host for one that does not exist.
func outOfDescriptors() error {
	file, err := os.Open(os.DevNull)
	if err == nil {
		file.Close()
	}
	return err
}

// otherSources returns what nsswitch.conf names for hosts beside the files and
// the name servers, which are asked without the C library.
func otherSources() []string {
	data, _, err := readFile("/etc/nsswitch.conf")
	if err != nil {
		return nil
	}
	return sourcesBeside(string(data))
}

func sourcesBeside(text string) []string {
	var others []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		database, rest, _ := strings.Cut(line, ":")
		if strings.TrimSpace(database) != "hosts" {
			continue
		}
		for _, word := range strings.Fields(withoutActions(rest)) {
			if word != "files" && word != "dns" {
				others = append(others, word)
			}
		}
	}
	return others
}

// withoutActions takes out what stands in brackets: [NOTFOUND=return].
func withoutActions(text string) string {
	for {
		before, rest, found := strings.Cut(text, "[")
		if !found {
			return text
		}
		_, after, _ := strings.Cut(rest, "]")
		text = before + " " + after
	}
}

// The C library is asked by a program of its own: this one has none.
const (
	askers     = 4 // at once
	maxAnswers = 64
)

var asking = make(chan struct{}, askers)

// askSystem asks the C library for the addresses of a host.
func askSystem(ctx context.Context, host string) ([]string, error) {
	path, err := exec.LookPath("getent")
	if err != nil {
		return nil, fmt.Errorf("they cannot be asked without the program getent: %w", err)
	}
	select {
	case asking <- struct{}{}:
		defer func() { <-asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "ahosts", "--", host)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("getent ahosts does not know it either: %w", err)
	}
	return answers(&out), nil
}

// answers reads the lines of getent: an address, the kind of socket, a name.
func answers(out *bytes.Buffer) []string {
	var found []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && len(found) < maxAnswers {
		words := strings.Fields(lines.Text())
		if len(words) > 0 && !slices.Contains(found, words[0]) {
			found = append(found, words[0])
		}
	}
	return found
}
