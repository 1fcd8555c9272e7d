package cli

import (
	"github.com/spf13/cobra"

	"popcorn/internal/job"
)

func newRestore() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "restore [flags] FILE",
		Short: "Let a program go on that was saved by checkpoint",
		Long: `restore makes the program anew that popcorn checkpoint has saved in FILE, with
the same process and thread ids, and lets it go on, on one or several nodes. Its
terminal, and pipes that led to other processes as standard streams, are those
of restore; other files it had open are opened where they were.

It refuses a file that is damaged, a program whose files have changed since, and
a processor that lacks what the program may use. Otherwise it does as popcorn run
does: the exit code is the program's own.`,
		Example: `  popcorn restore big.image
  popcorn restore --nodes 3 --spread big.image`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, send, err := f.spec(cmd)
			if err == nil {
				spec.Image = args[0]
				err = absolute(&spec.Image)
			}
			if err == nil {
				spec.Argv, spec.Path, err = job.Restorable(spec.Image)
			}
			if err != nil {
				return ours(err)
			}
			return runJob(cmd, spec, send)
		},
	}
	f.addTo(cmd)
	return cmd
}
