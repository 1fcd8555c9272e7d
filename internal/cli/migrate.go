package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// migratePatience bounds the wait for threads to arrive.
const migratePatience = time.Minute

func newMigrate() *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use:   "migrate JOB[:TID[,TID...]] NODE",
		Short: "Move a job, or some of its threads, to a node",
		Long: `migrate moves threads to NODE, a number, home, or the name of a host of the job, and
returns when they have arrived.`,
		Example: `  popcorn migrate 4711 1
  popcorn migrate sum:4712,4713 home`,
		Args:              exactly("JOB", "NODE"),
		ValidArgsFunction: completeMigrate,
		RunE: func(cmd *cobra.Command, args []string) error {
			return migrate(cmd, args[0], args[1], !detach)
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait until they have arrived")
	return cmd
}

func migrate(cmd *cobra.Command, who, to string, wait bool) error {
	t, err := parseTarget(who)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, migratePatience)
	defer cancel()
	c, info, err := askJob(ctx, t.job)
	if err != nil {
		return err
	}
	node, err := nodeOf(info, to)
	if err != nil {
		return err
	}
	err = c.Migrate(ctx, t.tids, node, wait)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s has not arrived at node %d within %v: %w; it may yet: ask popcorn where", who, node, migratePatience, err)
	}
	return err
}

// completeMigrate offers jobs, then home.
func completeMigrate(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return []string{"home"}, cobra.ShellCompDirectiveNoFileComp
	}
	return completeJobs(cmd, args, word)
}
