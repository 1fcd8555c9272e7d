package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

func newWait() *cobra.Command {
	cmd := onJob("wait", "Wait for the end of a job and print its exit code", func(ctx context.Context, cmd *cobra.Command, c *control.Client) error {
		code, err := c.Wait(ctx)
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), code)
		}
		return err
	})
	cmd.Long = `wait returns when the job has ended, and prints the exit code of its program,
128+N when signal N ended it. Its own exit code is 0.`
	return cmd
}
