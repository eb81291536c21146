package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

func completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":  (*cobra.Command).GenZshCompletion,
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	}
	return &cobra.Command{
		Use:                   "completion (bash|zsh|fish)",
		Short:                 "print a script that lets a shell complete plusmoin's commands",
		DisableFlagsInUseLine: true,
		Long: `Print a script that lets a shell complete plusmoin's commands, such as

  plusmoin completion bash >/etc/bash_completion.d/plusmoin
  plusmoin completion zsh >/usr/local/share/zsh/site-functions/_plusmoin
  plusmoin completion fish >/etc/fish/completions/plusmoin.fish`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return hinted{fmt.Errorf("completion takes the name of one shell"), "plusmoin completion (bash|zsh|fish)"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return shells[args[0]](cmd.Root(), cmd.OutOrStdout())
		},
	}
}

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "man",
		Short:                 "print the manual page",
		DisableFlagsInUseLine: true,
		Hidden:                true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			header := &doc.GenManHeader{Title: "PLUSMOIN", Section: "1", Source: "plusmoin " + versionText(), Manual: "plusmoin"}
			return doc.GenMan(manual(cmd.Root()), header, cmd.OutOrStdout())
		},
	}
}

// manual returns a command that describes all commands of root, so that they
// share one page, made of what --help shows.
func manual(root *cobra.Command) *cobra.Command {
	var text strings.Builder
	text.WriteString(root.Long + "\n\n# COMMANDS\n")
	for _, c := range root.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			continue
		}
		fmt.Fprintf(&text, "\n## %s\n\n%s\n", c.UseLine(), verbatim(c.Long))
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				fmt.Fprintf(&text, "\n**--%s**: %s\n", f.Name, strings.ReplaceAll(f.Usage, "`", ""))
			}
		})
	}
	// Brackets before parentheses would be a link.
	use := strings.NewReplacer("[", `\[`, "]", `\]`).Replace(root.Use)
	page := &cobra.Command{
		Use: use, Short: root.Short, Long: text.String(),
		DisableFlagsInUseLine: true, DisableAutoGenTag: true,
	}
	page.Flags().AddFlagSet(root.PersistentFlags())
	return page
}

// verbatim keeps the lines of lists apart, which Markdown would join.
func verbatim(text string) string {
	return strings.ReplaceAll(text, "\n  ", "\n\n    ")
}
