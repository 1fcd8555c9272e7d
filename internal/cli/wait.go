package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

func newWait() *cobra.Command {
	return &cobra.Command{
		Use:   "wait JOB",
		Short: "Wait for the end of a job and print its exit code",
		Long: `wait returns when the job has ended, and prints the exit code of its program,
128+N when signal N ended it. Its own exit code is 0.`,
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return tell(cmd, args[0], func(ctx context.Context, c *control.Client) error {
				code, err := c.Wait(ctx)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), code)
				}
				return err
			})
		},
	}
}
