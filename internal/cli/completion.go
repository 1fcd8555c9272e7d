package cli

import (
	"io"

	"github.com/spf13/cobra"
)

func newCompletion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script of a shell",
		Long: `completion prints a script that lets a shell complete verbs, flags and the names
of running jobs.`,
		Example: `  source <(popcorn completion bash)
  popcorn completion zsh > "${fpath[1]}/_popcorn"
  popcorn completion fish > ~/.config/fish/completions/popcorn.fish`,
		Args:      exactly("a shell"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			write := map[string]func(io.Writer) error{
				"bash": func(w io.Writer) error { return cmd.Root().GenBashCompletionV2(w, true) },
				"zsh":  cmd.Root().GenZshCompletion,
				"fish": func(w io.Writer) error { return cmd.Root().GenFishCompletion(w, true) },
			}[args[0]]
			if write == nil {
				return usagef("no completion for %q: known shells are bash, zsh and fish", args[0])
			}
			return write(cmd.OutOrStdout())
		},
	}
}
