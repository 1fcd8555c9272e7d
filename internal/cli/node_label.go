package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"popcorn/internal/node"
)

func newNodeLabel() *cobra.Command {
	return &cobra.Command{
		Use:   "label NODE [KEY=VALUE | KEY-]...",
		Short: "Mark a node, for people and programs to choose by",
		Long: `label gives NODE labels, KEY- takes one away; without any it prints those NODE has,
one a line. They are kept by the node and shown by node ls. It takes root, or the
daemon's own user, at any node.`,
		Example: `  popcorn node label b rack=7 gpu=
  popcorn node label b gpu-`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("label takes NODE and labels; see %s --help", cmd.CommandPath())
			}
			_, _, err := parseLabels(args[1:])
			return err
		},
		ValidArgsFunction: completeNodes,
		RunE: onNode(func(ctx context.Context, cmd *cobra.Command, c *node.Client, args []string) error {
			set, unset, err := parseLabels(args[1:])
			if err != nil {
				return err
			}
			labels, err := c.Label(ctx, args[0], set, unset)
			if err != nil {
				return misused(err)
			}
			if len(args) == 1 && len(labels) > 0 {
				fmt.Fprintln(cmd.OutOrStdout(), strings.ReplaceAll(labelsText(labels), ",", "\n"))
			}
			return nil
		}),
	}
}

// parseLabels reads what is to be set, k=v, and taken away, k-.
func parseLabels(words []string) (set map[string]string, unset []string, err error) {
	set = map[string]string{}
	for _, w := range words {
		k, v, is := strings.Cut(w, "=")
		switch bare, less := strings.CutSuffix(w, "-"); {
		case is && k != "":
			set[k] = v
		case !is && less && bare != "":
			unset = append(unset, bare)
		default:
			return nil, nil, usagef("%q is no label: KEY=VALUE sets one, KEY- takes it away", w)
		}
	}
	return set, unset, nil
}

// labelsText writes labels as k=v,k=v, sorted.
func labelsText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}
