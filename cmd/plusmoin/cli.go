package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plusmoin/config"
)

// options are the flags that hold for every command.
type options struct {
	config     string
	foreground bool
}

const about = `plusmoin watches PostgreSQL clusters in master/slave replication. It needs
nothing on the servers but a role, a database and a small table that it makes
itself. When a master or a slave goes down or comes up, or a cluster splits, it
runs the commands that the configuration names, and at any time it shows all
clusters in a status file.`

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Short:                      "watch PostgreSQL clusters in master/slave replication",
		Long:                       about,
		Version:                    versionText(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
		Args:                       knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return hinted{fmt.Errorf("no command given"), "plusmoin --help lists them"}
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if o.foreground && cmd.HasParent() && cmd.Name() != "start" {
				return hinted{fmt.Errorf("-x is for start, not for %s", cmd.Name()), "leave it out"}
			}
			return nil
		},
	}
	root.SetVersionTemplate("plusmoin {{.Version}}\n")
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVarP(&o.config, "config", "c", "", "configuration `file` (default /etc/plusmoin/plusmoin.json, else /etc/plusmoin/config.json)")
	flags.BoolVarP(&o.foreground, "foreground", "x", false, "with start: stay in the foreground as the user one is, and log to standard output")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hinted{err, cmd.CommandPath() + " --help lists the options"}
	})
	root.CompletionOptions.DisableDefaultCmd = true

	commands := []*cobra.Command{startCommand(&o), stopCommand(&o), reloadCommand(&o), statusCommand(&o), checkCommand(&o), demoCommand()}
	for _, c := range commands {
		c.Args, c.DisableFlagsInUseLine = noArguments, true
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	root.Use = "plusmoin [options] (" + strings.Join(names(commands), "|") + ")"
	root.AddCommand(commands...)
	root.AddCommand(completionCommand(), manCommand())
	root.SetUsageTemplate(usageTemplate(append(commands, completionCommand(), manCommand())))
	return root
}

func names(commands []*cobra.Command) []string {
	list := make([]string, len(commands))
	for i, c := range commands {
		list[i] = c.Name()
	}
	return list
}

// usageTemplate returns what --help shows after a command's description, with
// the commands in the order given.
func usageTemplate(commands []*cobra.Command) string {
	var list strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&list, "\n  %-12s%s", c.Name(), c.Short)
	}
	return `Usage: {{.UseLine}}{{if not .HasParent}}

Commands:` + list.String() + `{{end}}{{if .HasAvailableLocalFlags}}

Options:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Options of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`
}

// knownCommand refuses a word that is no command, with the nearest one.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "plusmoin --help lists the commands"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return hinted{fmt.Errorf("unknown command %q", args[0]), hint}
}

// noArguments refuses words after a command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return hinted{fmt.Errorf("%s takes no argument, found %q", cmd.Name(), args[0]),
		"plusmoin " + cmd.Name() + " --help tells what it takes"}
}

// load reads the configuration that the flags name. The path that it returns
// is absolute.
func (o *options) load() (string, config.Config, []config.Warning, error) {
	path, err := config.Find(o.config)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", config.Config{}, nil, hinted{err, "name one with -c; plusmoin.json.example documents every option"}
	}
	cfg, warnings, err := loadConfig(path)
	return path, cfg, warnings, err
}

// loadConfig reads the configuration at path. Files that it names without a
// leading / are in its own folder: a daemon has no other that one could rely on.
func loadConfig(path string) (config.Config, []config.Warning, error) {
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return cfg, warnings, err
	}
	beside(path, &cfg)
	return cfg, warnings, nil
}

// beside puts files that a configuration names without a leading / into its folder.
func beside(path string, cfg *config.Config) {
	for _, file := range []*string{
		&cfg.LogFile, &cfg.PidFile, &cfg.StatusFile, &cfg.StateDir,
		&cfg.PassFile, &cfg.SSLRootCert, &cfg.SSLCert, &cfg.SSLKey,
	} {
		system := file == &cfg.SSLRootCert && *file == "system" // the certificates of the system
		if *file != "" && !system && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
}
