package config

import "regexp"

// Places returns what the file at path says of the daemon itself, such as where
// its files are, as far as that can be made out, and the defaults for the rest:
// for finding a daemon whose configuration is broken by now. The error says that
// the file cannot be read.
func Places(path string) (Config, error) {
	data, _, err := read(path)
	if err != nil {
		return Config{}, err
	}
	return places(data), nil
}

// placeLine is a key with a string in a line of its own that is no comment.
var placeLine = regexp.MustCompile(`(?m)^[\s{,]*"(pid_file|status_file|log_file|daemon_user)"\s*:\s*"([^"\\]+)"`)

func places(data []byte) Config {
	c, _ := Defaults() // there is nothing in it that could be wrong
	keys := map[string]*string{
		"pid_file": &c.PidFile, "status_file": &c.StatusFile, "log_file": &c.LogFile, "daemon_user": &c.DaemonUser,
	}
	tree, problem := parseSyntax(data)
	if problem != nil {
		for _, found := range placeLine.FindAllSubmatch(data, -1) {
			*keys[string(found[1])] = string(found[2])
		}
		return c
	}
	root := element{sheet: newSheet(data), value: tree.Value}
	if s, ok := root.section(); ok {
		for key, value := range keys {
			if text := s.text(key, *value); text != "" {
				*value = text
			}
		}
	}
	return c
}
