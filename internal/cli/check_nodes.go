package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/node"
)

// surveyor is what check needs of the daemon of this host.
type surveyor interface {
	Members(ctx context.Context) ([]node.Member, error)
	Check(ctx context.Context, name string) (node.Survey, error)
}

// surveyed is a node that was checked, or why it could not be.
type surveyed struct {
	node.Survey
	Reachable bool   `json:"reachable"`
	Problem   string `json:"problem,omitempty"`
}

// checkNodes surveys the nodes named, one after another.
func checkNodes(ctx context.Context, w io.Writer, c surveyor, words []string, asJSON bool) error {
	names, err := nodeNames(ctx, c, words)
	if err != nil {
		return err
	}
	var all []surveyed
	for _, name := range names {
		s, err := c.Check(ctx, name)
		if err != nil && !errors.Is(err, node.ErrUnreachable) && !errors.Is(err, node.ErrVersion) {
			return err
		}
		one := surveyed{Survey: s, Reachable: !errors.Is(err, node.ErrUnreachable)}
		if err != nil {
			one.Node, one.Problem = name, err.Error()
			one.Findings = []node.Finding{}
		}
		all = append(all, one)
	}
	if err := printSurveys(w, all, asJSON); err != nil {
		return err
	}
	return verdict(all)
}

// nodeNames are the members meant by a list of words, each a list as run -H has.
func nodeNames(ctx context.Context, c surveyor, words []string) ([]string, error) {
	members, err := c.Members(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, word := range words {
		hosts, err := parseHosts(word)
		if err != nil {
			return nil, usagef("check: %w", err)
		}
		for _, h := range hosts {
			m, err := memberCalled(members, h.name)
			if err != nil {
				return nil, err
			}
			out = append(out, m.Name)
		}
	}
	return out, nil
}

// verdict is the exit code of it all: of two faults, that of the greater distance.
func verdict(all []surveyed) error {
	missing, away := 0, 0
	for _, s := range all {
		switch {
		case !s.Reachable:
			away++
		case s.Problem != "" || s.Missing() > 0:
			missing++
		}
	}
	switch {
	case away > 0:
		return exitf(exitUnreachable, "%d of %d nodes are unreachable", away, len(all))
	case missing > 0:
		return exitf(exitFailed, "%d of %d nodes lack something popcorn requires", missing, len(all))
	}
	return nil
}

func printSurveys(w io.Writer, all []surveyed, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Version int        `json:"version"`
			Nodes   []surveyed `json:"nodes"`
		}{1, all})
	}
	links := [][]string{{"NODE", "STATE", "POPCORN", "ROUND TRIP", "CLOCK", "TO IT", "FROM IT"}}
	faults := [][]string{{"NODE", "FEATURE", "STATE", "WHAT TO DO"}}
	for _, s := range all {
		links = append(links, linkRow(s))
		faults = append(faults, faultRows(s)...)
	}
	if err := table(w, links); err != nil || len(faults) == 1 {
		return err
	}
	fmt.Fprintln(w)
	return table(w, faults)
}

func linkRow(s surveyed) []string {
	state := "ok"
	switch {
	case !s.Reachable:
		state = "unreachable"
	case s.Problem != "" || s.Missing() > 0:
		state = "LACKING"
	}
	row := []string{s.Node, state, dash(s.Version)}
	if s.Link == nil {
		return append(row, "-", "-", "-", "-")
	}
	l := s.Link
	clock := fmt.Sprintf("%+.1f ms (±%.1f)", ms(l.ClockAhead), ms(l.ClockError))
	return append(row, fmt.Sprintf("%.2f ms", ms(l.RoundTrip)), clock, rate(l.Sent), rate(l.Received))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func rate(bytes float64) string { return fmt.Sprintf("%.0f MB/s", bytes/1e6) }

// faultRows are what is not as it should be with a node.
func faultRows(s surveyed) [][]string {
	if s.Problem != "" {
		return [][]string{{s.Node, "-", "MISSING", s.Problem}}
	}
	var rows [][]string
	for _, f := range s.Findings {
		if !f.OK {
			state, text := stateOf(f)
			rows = append(rows, []string{s.Node, f.Name, state, text})
		}
	}
	return rows
}

// checkOf is what check does, here or at nodes.
func checkOf(cmd *cobra.Command, args []string, asJSON bool) error {
	ctx, stop := interruptible(cmd)
	defer stop()
	c, err := node.Local(ctx)
	if err != nil {
		return fmt.Errorf("check other nodes: %w", err)
	}
	return checkNodes(ctx, cmd.OutOrStdout(), c, args, asJSON)
}
