package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

func newWhere() *cobra.Command {
	return &cobra.Command{
		Use:   "where JOB[:TID]",
		Short: "Print the node of a thread or a job",
		Long: `where prints the number of the node a thread is at, or the word migrating.
For a whole job it prints the nodes its threads are at, as in 0,2, or migrating
while any of them is on its way.`,
		Args:              exactly("JOB or JOB:TID"),
		ValidArgsFunction: completeJobs,
		RunE:              where,
	}
}

func where(cmd *cobra.Command, args []string) error {
	t, err := parseTarget(args[0])
	if err != nil {
		return err
	}
	if len(t.tids) > 1 {
		return usagef("where takes one thread, not %d; popcorn ps --threads lists them all", len(t.tids))
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	_, info, err := askJob(ctx, t.job)
	if err != nil {
		return err
	}
	text, err := whereIs(info, t.tids)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), text)
	return nil
}

// whereIs names the nodes of the threads tids, or of all.
func whereIs(info control.Info, tids []int) (string, error) {
	var nodes []int
	found := false
	for _, th := range info.Threads {
		if len(tids) > 0 && th.TID != tids[0] {
			continue
		}
		found = true
		if th.State == control.ThreadMigrating {
			return control.ThreadMigrating, nil
		}
		nodes = append(nodes, th.Node)
	}
	if !found && len(tids) > 0 {
		return "", fmt.Errorf("thread %d of job %s: %w", tids[0], info.ID, control.ErrNoSuchThread)
	}
	if !found {
		return "", fmt.Errorf("job %s has ended: %w", info.ID, control.ErrNoSuchJob)
	}
	slices.Sort(nodes)
	var words []string
	for _, n := range slices.Compact(nodes) {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ","), nil
}
