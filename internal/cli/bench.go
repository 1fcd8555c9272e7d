package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"popcorn/internal/bench"
)

// benchRounds is the default: enough for a median of ratios, some ten seconds.
const benchRounds = 5

func newBench() *cobra.Command {
	var asJSON, idlePoll bool
	rounds := benchRounds
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure faults, moves and forwarded calls beside this machine's own floor",
		Long: `bench measures what it costs that a program's threads live on two local nodes,
and beside each figure its floor on this machine, taken in turns with it. RATIO
is the median of the rounds' ratios; WANTED is the ratio popcorn promises.

` + bench.Floors,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rounds < 1 || rounds > 1000 {
				return usagef("--rounds %d: take 1 to 1000", rounds)
			}
			ctx, stop := interruptible(cmd)
			defer stop()
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			cfg := bench.Config{Popcorn: self, Rounds: rounds, IdlePoll: idlePoll}
			if isTerminal(cmd.ErrOrStderr()) {
				cfg.Progress = func(s string) { fmt.Fprintf(cmd.ErrOrStderr(), "\r\x1b[K%s", s) }
				defer fmt.Fprint(cmd.ErrOrStderr(), "\r\x1b[K")
			}
			reports, err := bench.Run(ctx, cfg)
			if err != nil {
				return err
			}
			return printBench(cmd.OutOrStdout(), reports, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&idlePoll, "idle-poll", false, "measure once more while idle processors are kept polling")
	cmd.Flags().IntVar(&rounds, "rounds", rounds, "measure everything `N` times")
	return cmd
}

// isTerminal tells whether a person watches w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

func printBench(w io.Writer, reports []bench.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Version int            `json:"version"`
			Modes   []bench.Report `json:"modes"`
		}{1, reports})
	}
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if len(reports) > 1 {
			fmt.Fprintln(w, modeName(r.IdlePoll))
		}
		if err := benchTable(w, r.Results); err != nil {
			return err
		}
	}
	return nil
}

func modeName(idlePoll bool) string {
	if idlePoll {
		return "Idle processors kept polling (--idle-poll):"
	}
	return "Idle processors asleep, as this machine has it:"
}

func benchTable(w io.Writer, results []bench.Result) error {
	rows := [][]string{{"WHAT", "UNIT", "P50", "P99", "FLOOR P50", "FLOOR P99", "RATIO", "WANTED"}}
	for _, r := range results {
		rows = append(rows, []string{r.Name, r.Unit, figure(r.Here.P50), figure(r.Here.P99),
			figure(r.Floor.P50), figure(r.Floor.P99), fmt.Sprintf("%.2f", r.Ratio), wanted(r)})
	}
	return table(w, rows)
}

// figure is v with three digits or more.
func figure(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// wanted is what popcorn promises, marked when it was missed.
func wanted(r bench.Result) string {
	var text string
	switch {
	case r.Limit > 0:
		text = figure(r.Limit) + " " + r.Unit
	case r.Bound > 0:
		text = strconv.FormatFloat(r.Bound, 'g', -1, 64)
	default:
		return dash("")
	}
	if !r.Kept() {
		text += " (missed)"
	}
	return text
}
