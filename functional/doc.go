// Package functional tells its stories on hosts of their own: every PostgreSQL
// server is a container with addresses of its own on two private networks, one
// on which plusmoin watches it and one on which it replicates, so that either
// can be cut; plusmoin is a container of the project's image; its status.json is
// read through a web server.
//
//	make functional
//
// Its tests have the build tag functional, since they need a Docker engine and
// the images that scripts/images makes. The stories in core_test.go are told on
// each PostgreSQL version, the others on one. With POSTGRES=15 in the
// environment all of them are told on that version and none on another.
//
// install_test.go is none of these stories: it follows the lines of README.md on a
// bare Debian with systemd.
//
// Every story checks the exact sequence of events and the last status. What it
// leaves behind is removed at its end, and what a suite that was killed left is
// removed by the next. With -artifacts, plusmoin's log, status and events of a
// failed story are kept.
package functional
