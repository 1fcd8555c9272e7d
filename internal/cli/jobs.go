package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

// target is what JOB[:TID[,TID]] on the command line means.
type target struct {
	job  string
	tids []int // empty: every thread
}

// parseTarget splits a job reference from its thread numbers. Names have no
// colon, so the first one ends the reference.
func parseTarget(s string) (target, error) {
	ref, list, some := strings.Cut(s, ":")
	t := target{job: ref}
	if ref == "" {
		return t, usagef("%q names no job: give its id, name or pid", s)
	}
	if !some {
		return t, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		tid, err := strconv.Atoi(word)
		if err != nil || tid <= 0 {
			return t, usagef("%q is no thread number in %s", word, s)
		}
		t.tids = append(t.tids, tid)
	}
	return t, nil
}

// dialJob finds the job ref means and connects to it.
func dialJob(ref string) (*control.Client, error) {
	e, err := control.Find(ref)
	if err != nil {
		return nil, fmt.Errorf("%w; popcorn ps lists those there are", err)
	}
	return control.Dial(e)
}

// askJob finds the job ref means and what it tells about itself.
func askJob(ctx context.Context, ref string) (*control.Client, control.Info, error) {
	c, err := dialJob(ref)
	if err != nil {
		return nil, control.Info{}, err
	}
	info, err := c.Info(ctx)
	return c, info, err
}

// onJob makes a verb whose one argument is a job that do is done with.
func onJob(name, short string, do func(context.Context, *cobra.Command, *control.Client) error) *cobra.Command {
	return &cobra.Command{
		Use:               name + " JOB",
		Short:             short,
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			c, err := dialJob(args[0])
			if err != nil {
				return err
			}
			return do(ctx, cmd, c)
		},
	}
}

// nodeOf understands a node by number, by home, or by a name the job gave it.
func nodeOf(info control.Info, word string) (int, error) {
	for _, n := range info.Nodes {
		if n.Name != "" && n.Name == word {
			return n.NID, nil
		}
	}
	id, err := parseNode(word)
	if err != nil {
		return 0, usagef("%w", err)
	}
	for _, n := range info.Nodes {
		if n.NID == int(id) {
			return n.NID, nil
		}
	}
	return 0, fmt.Errorf("node %s: job %s has %d nodes, numbered from 0: %w", word, info.ID, len(info.Nodes), control.ErrNoSuchNode)
}

// table writes rows of columns, the first being the header.
func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// printJSON writes v as one indented document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// completeJobs offers the ids and names of running jobs as first argument.
func completeJobs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := control.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, e := range all {
		out = append(out, e.ID)
		if e.Name != "" {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), cobra.ShellCompDirectiveNoFileComp
}
