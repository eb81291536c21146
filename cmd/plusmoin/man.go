package main

import (
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plusmoin/cluster"
	"plusmoin/config"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man",
		Short: "print the manual page",
		Long: `Print the manual page, to read or to install:

  plusmoin man | man -l -
  install -d /usr/local/share/man/man1
  plusmoin man >/usr/local/share/man/man1/plusmoin.1`,
		DisableFlagsInUseLine: true,
		Hidden:                true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeManual(cmd.OutOrStdout(), cmd.Root())
		},
	}
}

// writeManual writes the manual page of all commands, made of what --help
// shows, of the keys that the configuration has and of what is only said here.
func writeManual(w io.Writer, root *cobra.Command) error {
	var p page
	p.title("PLUSMOIN", "1", buildDay(), "plusmoin "+versionText())
	p.section("NAME")
	p.prose("plusmoin - " + root.Short)
	p.section("SYNOPSIS")
	p.synopsis(root.Use)
	p.section("DESCRIPTION")
	p.prose(root.Long)
	p.prose("plusmoin promotes nothing. A script that does should act on the diagnosis dead_master and on no other, and for a cluster that was split off (PLUSMOIN_SPLIT_FROM) do nothing.")
	p.section("OPTIONS")
	p.options(root.PersistentFlags())
	p.section("COMMANDS")
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			p.subsection(c.UseLine())
			p.prose(c.Long)
			p.options(c.LocalNonPersistentFlags())
		}
	}
	configurationPages(&p)
	triggerPages(&p)
	surroundings(&p)
	_, err := io.WriteString(w, p.text.String())
	return err
}

// buildDay returns the day of the source that this program was built from, so
// that a page made again is the same; today if that is not known.
func buildDay() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if day, _, found := strings.Cut(s.Value, "T"); s.Key == "vcs.time" && found {
				return day
			}
		}
	}
	return time.Now().Format(time.DateOnly)
}

// configurationPages describes the configuration and the words of the status.
func configurationPages(p *page) {
	p.section("CONFIGURATION")
	p.prose(`JSON with comments and trailing commas. All times are in seconds, and fractions are allowed; null means the default. A file named without a leading / is in the directory of the configuration. plusmoin reload applies a change, except of keys marked Restart.`)
	for _, k := range config.Keys() {
		text := k.Text + " Required."
		if k.Default != "" {
			text = k.Text + " Default: " + k.Default
		}
		p.item(k.Name, text)
	}
	p.section("DIAGNOSIS")
	p.prose("The status, and what a trigger reads, has one word for each cluster:")
	for _, d := range diagnoses() {
		p.item(string(d), sentence(meaning(d)))
	}
}

// triggerPages describes the events.
func triggerPages(p *page) {
	p.section("TRIGGERS")
	p.prose(`For each event the configuration can name a command: a string for a shell, an array of program and arguments, an object of several commands with a name each, or null. It reads the state of the cluster after the event, as JSON, from its standard input. Commands of one name and one cluster run one after the other; plusmoin never waits for them.`)
	for _, k := range cluster.Kinds() {
		p.item(string(k), sentence(occasion(k)))
	}
	p.prose(`Of plusmoin's own environment a command gets PATH, LANG, LANGUAGE, LC_*, TZ and TMPDIR, beside HOME, USER, LOGNAME and SHELL, and what tells of the event:`)
	p.item("PLUSMOIN_EVENT", "The name of the event.")
	p.item("PLUSMOIN_EVENT_ID", "A number that is unique and grows, also across restarts.")
	p.item("PLUSMOIN_CLUSTER_ID", "The cluster.")
	p.item("PLUSMOIN_NODE", "The node it is about, as host:port; empty if it is about none.")
	p.item("PLUSMOIN_SPLIT_FROM", "The cluster that this one was split from while that exists, empty else: its data is stale or strange.")
	p.item("PLUSMOIN_STATUS_FILE", "The status file: what runs late should act on what that says now.")
}

// occasion says when the trigger of an event is run.
func occasion(k cluster.Kind) string {
	switch k {
	case cluster.PlusmoinUp:
		return "once per cluster, when the start has found out about it"
	case cluster.PlusmoinHeartbeat:
		return "after every heartbeat, when its other triggers have run"
	case cluster.MasterDown:
		return "the master is down, demoted or gone, and nothing has replaced it"
	case cluster.MasterUp:
		return "a cluster has a master again, or another one"
	case cluster.SlaveDown:
		return "a slave is down or out of sync"
	case cluster.SlaveUp:
		return "a slave is up and in sync"
	case cluster.ClusterUp:
		return "a new master has founded a cluster"
	case cluster.ClusterSplit:
		return "a second or a stale master has left its cluster for one of its own"
	case cluster.ClusterGone:
		return "a cluster has lost its last node"
	case cluster.NodeJoined:
		return "a node has become one of a cluster"
	case cluster.NodeLeft:
		return "a node is no longer one of a cluster"
	}
	return ""
}

// surroundings describes what is around the program.
func surroundings(p *page) {
	p.section("SIGNALS")
	p.item("SIGHUP", "Reload the configuration and open log_file anew.")
	p.item("SIGUSR1", "Open log_file anew and do nothing else: plusmoin reload --log-only.")
	p.item("SIGTERM, SIGINT", "End. Triggers that run are given three seconds more.")
	p.section("EXIT STATUS")
	p.prose("0 if all went well and 1 if not, with the reason on standard error; check exits with 1 if something keeps plusmoin from its work. status exits as a monitoring plug-in does:")
	p.item("0", "All is well.")
	p.item("1", "Something is not in order, but every cluster has a master.")
	p.item("2", "A cluster has no master or is split in two, there is none, or plusmoin was killed or hangs.")
	p.item("3", "plusmoin does not run, or nothing can be known.")
	p.section("ENVIRONMENT")
	p.item("NO_COLOR", "If set, nothing is printed in colour.")
	p.item("TERM", "If dumb, nothing is printed in colour.")
	p.item("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd, which is told how plusmoin is.")
	p.item("PATH", "Where demo looks for the programs of PostgreSQL, and triggers for theirs.")
	p.section("FILES")
	p.item("/etc/plusmoin/plusmoin.json", "The configuration; if it is missing, /etc/plusmoin/config.json.")
	p.item(defaultStatusFile, "The state of all clusters and nodes (status_file).")
	p.item(defaultStatusFile+".lock", "Who writes the status file: the lock of the plusmoin that runs.")
	p.item("/var/run/plusmoin/plusmoin.pid", "The process id of the daemon, and its lock (pid_file).")
	p.item("/var/log/plusmoin/plusmoin.log", "The log of the daemon (log_file).")
	p.section("EXAMPLES")
	p.example("See what plusmoin can do on all servers, and start it:", "plusmoin check && plusmoin start")
	p.example("Look at all clusters, again and again:", "watch -n 1 plusmoin status --table")
	p.example("Be a check of Nagios or Icinga, which need not read the configuration:",
		"plusmoin status --nagios --status-file "+defaultStatusFile)
	p.example("Name the present master of cluster 0:", `plusmoin status | jq -r '.clusters[] | select(.cluster_id == 0) | .master.host'`)
	p.example("Run in a container or beneath a service manager:", "plusmoin -x -c /etc/plusmoin/plusmoin.json start")
	p.section("SEE ALSO")
	p.prose("psql(1), pg_ctl(1), pg_basebackup(1), systemd(1), logrotate(8)")
}

// sentence begins a text as a sentence, and ends it as one.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// options writes the flags of a command.
func (p *page) options(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		argument, usage := pflag.UnquoteUsage(f)
		if argument != "" {
			name += " " + argument
		}
		p.item(name, sentence(usage))
	})
}

// example writes a command line and what it is for.
func (p *page) example(text, command string) {
	p.prose(text + "\n\n  " + command)
}
