package cli

import (
	"io"

	"github.com/spf13/cobra"

	"popcorn/internal/node"
	"popcorn/internal/sys"
)

func newCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [--json] [NODE...]",
		Short: "Tell whether machines can run popcorn, and how to mend what is missing",
		Long: `check tries what popcorn needs of the kernel and of its own rights. It exits with
1 when something required is missing.

With nodes of the cluster, NODE... or lists as run -H takes, it has the same tried
there for this user, compares processors and versions, and measures the way there:
round trip, difference of clocks, and bandwidth of one connection, in a second or
two for each. It exits with 4 when a node is unreachable, else with 1 when one
lacks something required. What is not as it should be is listed with what to do.`,
		Example: `  popcorn check
  popcorn check b c
  popcorn check 'node[1-8]' --json`,
		ValidArgsFunction: completeAllNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return checkOf(cmd, args, asJSON)
			}
			return check(cmd.OutOrStdout(), sys.Probes(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func check(w io.Writer, probes []sys.Probe, asJSON bool) error {
	found := node.Examine(probes)
	if err := printFindings(w, found, asJSON); err != nil {
		return err
	}
	if missing := (node.Survey{Findings: found.Probes}).Missing(); missing > 0 {
		return exitf(exitFailed, "%d of the things popcorn requires are missing here", missing)
	}
	return nil
}

func printFindings(w io.Writer, found node.Findings, asJSON bool) error {
	if asJSON {
		return printJSON(w, found)
	}
	rows := [][]string{{"FEATURE", "LINUX", "STATE", "WHY, OR WHAT TO DO"}}
	for _, f := range found.Probes {
		state, text := stateOf(f)
		rows = append(rows, []string{f.Name, f.Since, state, text})
	}
	return table(w, rows)
}

// stateOf is how a table tells of a finding.
func stateOf(f node.Finding) (state, text string) {
	switch {
	case f.OK:
		return "ok", f.Need
	case f.Required:
		return "MISSING", f.Problem
	}
	return "absent", f.Problem + "; without it: " + f.Need
}
