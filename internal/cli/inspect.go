package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

func newInspect() *cobra.Command {
	return onJob("inspect", "Print everything known about a job, as JSON", func(ctx context.Context, cmd *cobra.Command, c *control.Client) error {
		raw, err := c.Inspect(ctx)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := json.Indent(&text, raw, "", "  "); err != nil {
			return fmt.Errorf("inspect job %s: %w", c.Entry().ID, err)
		}
		text.WriteByte('\n')
		_, err = text.WriteTo(cmd.OutOrStdout())
		return err
	})
}
