package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func completionCommand() *cobra.Command {
	shells := map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(_ *cobra.Command, w io.Writer) error {
			_, err := io.WriteString(w, bashCompletion)
			return err
		},
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
  plusmoin completion fish >/etc/fish/completions/plusmoin.fish

That of bash needs no other package; where bash-completion is not installed,
let ~/.bashrc read it:

  source <(plusmoin completion bash)`,
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

// bashCompletion asks plusmoin itself what can follow. Where that has nothing to
// say, bash completes the names of files, unless plusmoin wants none: that is 4
// in the last line of its answer. A word after = is the value of an option.
const bashCompletion = `# Completion of plusmoin for bash, which needs nothing else.
_plusmoin() {
    local cur=${COMP_WORDS[COMP_CWORD]} line word
    COMPREPLY=()
    [[ $cur == = || ${COMP_WORDS[COMP_CWORD-1]} == = ]] && return
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        if [[ $line == :* ]]; then
            (( ${line#:} & 4 )) && compopt +o default 2>/dev/null
        elif [[ $word == "$cur"* ]]; then
            COMPREPLY+=("$word")
        fi
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _plusmoin plusmoin
`
