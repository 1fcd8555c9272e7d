package cli

import (
	"context"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
	"popcorn/internal/sys"
)

func newKill() *cobra.Command {
	name := "TERM"
	cmd := onJob("kill", "Send a signal to a whole job", func(ctx context.Context, _ *cobra.Command, c *control.Client) error {
		sig, _ := sys.SignalByName(name)
		return c.Kill(ctx, int(sig))
	})
	cmd.Use = "kill [-s SIGNAL] JOB"
	// Before a job is looked for: a typing mistake is one whatever runs.
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if _, ok := sys.SignalByName(name); !ok {
			return usagef("%q is no signal: give a name as in TERM, or a number from 1 to 64", name)
		}
		return nil
	}
	cmd.Flags().StringVarP(&name, "signal", "s", name, "the `SIGNAL`, by name or number")
	return cmd
}

func newPause() *cobra.Command {
	return onJob("pause", "Stop every thread of a job, on every node", func(ctx context.Context, _ *cobra.Command, c *control.Client) error {
		return c.Pause(ctx)
	})
}

func newResume() *cobra.Command {
	return onJob("resume", "Let a paused job go on", func(ctx context.Context, _ *cobra.Command, c *control.Client) error {
		return c.Resume(ctx)
	})
}
