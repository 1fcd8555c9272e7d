package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

// psPatience bounds the wait for one job: one that is stuck does not hide the
// others.
const psPatience = 2 * time.Second

// stateSilent is shown for a job that is there but does not answer in time.
const stateSilent = "silent"

type psFlags struct{ quiet, threads, json bool }

func newPs() *cobra.Command {
	var f psFlags
	cmd := &cobra.Command{
		Use:   "ps [-q] [--threads] [--json]",
		Short: "List jobs",
		Long: `ps lists the jobs of this user. WHERE counts the threads at each node as
node:threads. With --threads it lists every thread with its node.`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return ps(cmd, f) },
	}
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print ids only")
	cmd.Flags().BoolVar(&f.threads, "threads", false, "a row a thread")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON document")
	return cmd
}

func ps(cmd *cobra.Command, f psFlags) error {
	if f.quiet && (f.json || f.threads) {
		return usagef("ps -q prints ids only: leave out --json and --threads")
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	entries, err := control.List()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if f.quiet {
		for _, e := range entries {
			fmt.Fprintln(out, e.ID)
		}
		return nil
	}
	infos := []control.Info{} // so that JSON says [] and not null
	for _, e := range entries {
		infos = append(infos, describe(ctx, e))
	}
	switch {
	case f.json:
		return printJSON(out, struct {
			Version int            `json:"version"`
			Jobs    []control.Info `json:"jobs"`
		}{1, infos})
	case f.threads:
		return threadTable(out, infos)
	}
	return jobTable(out, infos, time.Now())
}

// describe asks one job about itself; what its file says is the fall-back.
func describe(ctx context.Context, e control.Entry) control.Info {
	ctx, cancel := context.WithTimeout(ctx, psPatience)
	defer cancel()
	c, err := control.Dial(e)
	if err == nil {
		info, err := c.Info(ctx)
		if err == nil {
			info.ID = e.ID
			return info
		}
	}
	return control.Info{Version: 1, ID: e.ID, Name: e.Name, PID: e.PID, Started: e.Started, State: stateSilent}
}

func jobTable(w io.Writer, infos []control.Info, now time.Time) error {
	rows := [][]string{{"ID", "NAME", "PID", "STATE", "NODES", "WHERE", "AGE", "COMMAND"}}
	for _, i := range infos {
		rows = append(rows, []string{i.ID, dash(i.Name), strconv.Itoa(i.PID), i.State, strconv.Itoa(len(i.Nodes)), whereabouts(i),
			age(now.Sub(i.Started)), oneLine(i.Command)})
	}
	return table(w, rows)
}

func threadTable(w io.Writer, infos []control.Info) error {
	rows := [][]string{{"ID", "NAME", "TID", "NODE", "STATE", "COMM"}}
	for _, i := range infos {
		for _, t := range i.Threads {
			rows = append(rows, []string{i.ID, dash(i.Name), strconv.Itoa(t.TID), strconv.Itoa(t.Node), t.State, dash(t.Comm)})
		}
	}
	return table(w, rows)
}

// whereabouts counts threads by node: "0:2 1:2".
func whereabouts(i control.Info) string {
	var parts []string
	for _, n := range i.Nodes {
		count := 0
		for _, t := range i.Threads {
			if t.Node == n.NID {
				count++
			}
		}
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d:%d", n.NID, count))
		}
	}
	return dash(strings.Join(parts, " "))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// oneLine is a command for a table: a script that is an argument has line breaks.
func oneLine(command []string) string {
	return dash(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.Join(command, " ")))
}

// age prints a duration in its largest whole unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
