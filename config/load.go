package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"plusmoin/internal/plainfile"
)

// maxSize is the size in bytes above which a file is not taken for a
// configuration.
const maxSize = 8 << 20

// Find returns the configuration file to use: path if it is not "", else the
// first of the two default places where there is one. The second is where the
// Python plusmoin looked. A file that is there but cannot be read is left to
// Load to complain about.
func Find(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	return findFirst("/etc/plusmoin/plusmoin.json", "/etc/plusmoin/config.json")
}

func findFirst(first, second string) (string, error) {
	for _, path := range []string{first, second} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no configuration: neither %s nor %s exists", first, second)
}

// Load reads the file at path. What is wrong with its content is returned as
// Errors, wrapped with the path.
func Load(path string) (Config, []Warning, error) {
	data, mode, err := read(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg, warnings, err := Parse(data)
	if err != nil {
		return Config{}, warnings, fmt.Errorf("%s: %w", path, err)
	}
	if cfg.Password != "" && mode.Perm()&0o004 != 0 {
		warnings = append(warnings, Warning{Key: "password", Text: fmt.Sprintf(
			"%s can be read by other users (mode %04o): let only root and the group of daemon_user read it (chgrp, chmod 0640), or use passfile",
			path, mode.Perm())})
	}
	return cfg, warnings, nil
}

// Defaults returns a configuration with nothing in it but what is required, for
// what concerns no server: where the files are.
func Defaults() (Config, error) {
	cfg, _, err := Parse([]byte(`{"dbname": "none", "user": "none"}`))
	return cfg, err
}

// read returns the content and the mode of a file, both of the same one even
// if it is being replaced.
func read(path string) (data []byte, mode fs.FileMode, err error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() // nothing was written: closing cannot lose anything
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err = io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, 0, err
	}
	if len(data) > maxSize {
		return nil, 0, fmt.Errorf("%s is larger than %d bytes", path, maxSize)
	}
	return data, info.Mode(), nil
}
