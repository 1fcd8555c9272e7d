package cli

import (
	"context"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
	"popcorn/internal/sys"
)

func newKill() *cobra.Command {
	name := "TERM"
	cmd := &cobra.Command{
		Use:               "kill [-s SIGNAL] JOB",
		Short:             "Send a signal to a whole job",
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, ok := sys.SignalByName(name)
			if !ok {
				return usagef("%q is no signal: give a name as in TERM, or a number from 1 to 64", name)
			}
			return tell(cmd, args[0], func(ctx context.Context, c *control.Client) error { return c.Kill(ctx, int(sig)) })
		},
	}
	cmd.Flags().StringVarP(&name, "signal", "s", name, "the `SIGNAL`, by name or number")
	return cmd
}

func newPause() *cobra.Command {
	return &cobra.Command{
		Use:               "pause JOB",
		Short:             "Stop every thread of a job, on every node",
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return tell(cmd, args[0], func(ctx context.Context, c *control.Client) error { return c.Pause(ctx) })
		},
	}
}

func newResume() *cobra.Command {
	return &cobra.Command{
		Use:               "resume JOB",
		Short:             "Let a paused job go on",
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return tell(cmd, args[0], func(ctx context.Context, c *control.Client) error { return c.Resume(ctx) })
		},
	}
}

// tell makes one call on the job ref.
func tell(cmd *cobra.Command, ref string, do func(context.Context, *control.Client) error) error {
	ctx, stop := interruptible(cmd)
	defer stop()
	c, err := dialJob(ref)
	if err != nil {
		return err
	}
	return do(ctx, c)
}
