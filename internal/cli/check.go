package cli

import (
	"io"

	"github.com/spf13/cobra"

	"popcorn/internal/sys"
)

func newCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell whether this machine can run popcorn, and how to mend what is missing",
		Long: `check tries what popcorn needs of the kernel and of its own rights. It exits with
1 when something required is missing.`,
		Args:              localOnly,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return check(cmd.OutOrStdout(), sys.Probes(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func localOnly(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("check of other nodes is not there yet: run popcorn check at node %s", args[0])
	}
	return nil
}

// finding is the answer to one probe.
type finding struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
	Since    string `json:"since"`
	Need     string `json:"need"`
	Problem  string `json:"problem,omitempty"`
}

func check(w io.Writer, probes []sys.Probe, asJSON bool) error {
	found := []finding{}
	missing := 0
	for _, p := range probes {
		f := finding{Name: p.Name, OK: true, Required: p.Required, Since: p.Since, Need: p.Need}
		if err := p.Check(); err != nil {
			f.OK, f.Problem = false, err.Error()
			if p.Required {
				missing++
			}
		}
		found = append(found, f)
	}
	if err := printFindings(w, found, asJSON); err != nil {
		return err
	}
	if missing > 0 {
		return exitf(exitFailed, "%d of the things popcorn requires are missing here", missing)
	}
	return nil
}

func printFindings(w io.Writer, found []finding, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Version int       `json:"version"`
			Probes  []finding `json:"probes"`
		}{1, found})
	}
	rows := [][]string{{"FEATURE", "LINUX", "STATE", "WHY, OR WHAT TO DO"}}
	for _, f := range found {
		state, text := "ok", f.Need
		switch {
		case !f.OK && f.Required:
			state, text = "MISSING", f.Problem
		case !f.OK:
			state, text = "absent", f.Problem+"; without it: "+f.Need
		}
		rows = append(rows, []string{f.Name, f.Since, state, text})
	}
	return table(w, rows)
}
