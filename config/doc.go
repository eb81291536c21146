// Package config turns the configuration file into a value that is known to be
// right: JSON with comments is read, decoded strictly, completed with defaults
// and checked, and every problem found is reported at once with its line.
//
//	path, err := config.Find(flag)
//	cfg, warnings, err := config.Load(path)
//
// The package hides the format of the file and the notation of schedules. It
// never connects to anything, never looks at the files that the configuration
// names, and never lets a password into an error, a log or a JSON document.
package config
