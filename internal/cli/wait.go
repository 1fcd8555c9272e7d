package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

func newWait() *cobra.Command {
	return &cobra.Command{
		Use:   "wait JOB",
		Short: "Wait for the end of a job and print its exit code",
		Long: `wait returns when the job has ended, and prints the exit code of its program,
128+N when signal N ended it. Its own exit code is 0. Of a program that was started
with run -d it tells the exit code even when that has ended before.`,
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE:              wait,
	}
}

func wait(cmd *cobra.Command, args []string) error {
	ctx, stop := interruptible(cmd)
	defer stop()
	c, err := dialJob(args[0])
	code := 0
	if err == nil {
		code, err = c.Wait(ctx)
	}
	if errors.Is(err, control.ErrNoSuchJob) {
		var behind error
		if code, behind = endedBehind(ctx, args[0]); !errors.Is(behind, control.ErrNoSuchJob) {
			err = behind
		}
	}
	if err == nil {
		fmt.Fprintln(cmd.OutOrStdout(), code)
	}
	return err
}
