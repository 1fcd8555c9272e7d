package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func newInspect() *cobra.Command {
	return &cobra.Command{
		Use:               "inspect JOB",
		Short:             "Print everything known about a job, as JSON",
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			c, err := dialJob(args[0])
			if err != nil {
				return err
			}
			raw, err := c.Inspect(ctx)
			if err != nil {
				return err
			}
			var text bytes.Buffer
			if err := json.Indent(&text, raw, "", "  "); err != nil {
				return fmt.Errorf("inspect job %s: %w", args[0], err)
			}
			text.WriteByte('\n')
			_, err = text.WriteTo(cmd.OutOrStdout())
			return err
		},
	}
}
