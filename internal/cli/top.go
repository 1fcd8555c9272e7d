package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
	"popcorn/internal/sys"
)

type topFlags struct {
	every time.Duration
	times int
	json  bool
}

func newTop() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top [flags] [JOB]",
		Short: "Show what jobs do, again and again",
		Long: `top shows jobs with what happens in them a second: processor time in percent of
one processor, remote page faults, megabytes of pages that nodes send each other,
moves of threads, system calls forwarded home. Of a single JOB it shows the nodes and the
threads too. On a terminal it goes on until ^C, else it shows one second.`,
		Example: `  popcorn top
  popcorn top big --every 5s
  popcorn top -n 1 --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeJobs,
		RunE:              func(cmd *cobra.Command, args []string) error { return top(cmd, &f, args) },
	}
	cmd.Flags().DurationVar(&f.every, "every", time.Second, "show what happened in `TIME`")
	cmd.Flags().IntVarP(&f.times, "times", "n", 0, "show it `N` times (default 1, on a terminal without end)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON document each time")
	return cmd
}

// sample is one job at one time, as inspect tells it. Silent ones have no Stats.
type sample struct {
	control.Info
	Stats *jobStats `json:"stats"`
	taken time.Time
}

// jobStats is what top wants of the document that --stats writes.
type jobStats struct {
	Nodes []struct {
		NID int     `json:"nid"`
		CPU float64 `json:"cpu_seconds"`
	} `json:"nodes"`
	Migrations struct {
		Count uint64 `json:"count"`
	} `json:"migrations"`
	Faults map[string]struct {
		Count uint64 `json:"count"`
	} `json:"faults"`
	Bytes    uint64 `json:"bytes"`
	Syscalls map[string]struct {
		Forwarded uint64 `json:"forwarded"`
	} `json:"syscalls"`
}

// jobRates is what happens in a job a second. CPU is in processors.
type jobRates struct {
	ID      string             `json:"id"`
	Name    string             `json:"name"`
	PID     int                `json:"pid"`
	State   string             `json:"state"`
	Threads int                `json:"threads"`
	CPU     float64            `json:"cpu"`
	Faults  map[string]float64 `json:"faults"`
	Bytes   float64            `json:"bytes"`
	Moves   float64            `json:"moves"`
	Calls   float64            `json:"forwarded_calls"`
	Nodes   []nodeRates        `json:"nodes"`
	Command []string           `json:"command"`

	info control.Info
}

type nodeRates struct {
	NID     int     `json:"nid"`
	Name    string  `json:"name"`
	Addr    string  `json:"addr"`
	State   string  `json:"state"`
	Threads int     `json:"threads"`
	CPU     float64 `json:"cpu"`
}

func top(cmd *cobra.Command, f *topFlags, args []string) error {
	if f.every < 50*time.Millisecond {
		return usagef("top --every %v: at least 50ms", f.every)
	}
	if f.times < 0 {
		return usagef("top -n %d: at least 1", f.times)
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	out := cmd.OutOrStdout()
	live := !f.json && out == os.Stdout && sys.IsTerminal(1)
	if f.times == 0 && !live {
		f.times = 1
	}
	before, err := samples(ctx, args)
	if err != nil {
		return err
	}
	for shown := 0; f.times == 0 || shown < f.times; shown++ {
		select {
		case <-ctx.Done():
			return nil // ^C is how one leaves
		case <-time.After(f.every):
		}
		now, err := samples(ctx, args)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.show(out, rates(before, now), live, len(args) > 0, shown); err != nil {
			return err
		}
		before = now
	}
	return nil
}

func (f *topFlags) show(out io.Writer, jobs []jobRates, live, single bool, shown int) error {
	if f.json {
		return printJSON(out, struct {
			Version int        `json:"version"`
			Jobs    []jobRates `json:"jobs"`
		}{1, jobs})
	}
	var text strings.Builder
	switch {
	case live:
		text.WriteString("\x1b[H\x1b[2J") // to the corner, and clear
	case shown > 0:
		text.WriteByte('\n')
	}
	err := topTable(&text, jobs)
	if single && err == nil {
		err = topDetails(&text, jobs[0])
	}
	if err == nil {
		_, err = io.WriteString(out, text.String())
	}
	return err
}

// samples asks the job args name, or all.
func samples(ctx context.Context, args []string) ([]sample, error) {
	if len(args) > 0 {
		c, err := dialJob(args[0])
		if err != nil {
			return nil, err
		}
		s, err := ofJob(ctx, c)
		return []sample{s}, err
	}
	entries, err := control.List()
	if err != nil {
		return nil, err
	}
	var all []sample
	for _, e := range entries {
		s := sample{Info: control.Info{ID: e.ID, Name: e.Name, PID: e.PID, State: stateSilent}, taken: time.Now()}
		if c, err := control.Dial(e); err == nil {
			ctx, cancel := context.WithTimeout(ctx, psPatience)
			if told, err := ofJob(ctx, c); err == nil {
				s = told
			}
			cancel()
		}
		all = append(all, s)
	}
	return all, nil
}

func ofJob(ctx context.Context, c *control.Client) (sample, error) {
	raw, err := c.Inspect(ctx)
	s := sample{taken: time.Now()}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("read what job %s tells: %w", c.Entry().ID, err)
	}
	s.ID = c.Entry().ID
	return s, nil
}

// rates compares two samples of the jobs that are there now. One that was not before
// has none yet.
func rates(before, now []sample) []jobRates {
	jobs := []jobRates{} // so that JSON says [] and not null
	for _, b := range now {
		r := jobRates{ID: b.ID, Name: b.Name, PID: b.PID, State: b.State, Threads: len(b.Threads), Command: b.Command,
			Faults: map[string]float64{}, info: b.Info, Nodes: []nodeRates{}}
		for _, n := range b.Nodes {
			r.Nodes = append(r.Nodes, nodeRates{NID: n.NID, Name: n.Name, Addr: n.Addr, State: n.State, Threads: n.Threads})
		}
		for _, a := range before {
			if a.ID == b.ID && a.Stats != nil && b.Stats != nil {
				r.since(a, b)
			}
		}
		jobs = append(jobs, r)
	}
	return jobs
}

func (r *jobRates) since(a, b sample) {
	seconds := b.taken.Sub(a.taken).Seconds()
	per := func(from, to uint64) float64 { return max(float64(to)-float64(from), 0) / seconds }
	r.Moves = per(a.Stats.Migrations.Count, b.Stats.Migrations.Count)
	r.Bytes = per(a.Stats.Bytes, b.Stats.Bytes)
	r.Calls = per(a.Stats.forwarded(), b.Stats.forwarded())
	for kind, f := range b.Stats.Faults {
		r.Faults[kind] = per(a.Stats.Faults[kind].Count, f.Count)
	}
	used := map[int]float64{}
	for _, n := range a.Stats.Nodes {
		used[n.NID] = n.CPU
	}
	for _, n := range b.Stats.Nodes {
		for i := range r.Nodes {
			if r.Nodes[i].NID == n.NID {
				r.Nodes[i].CPU = max(n.CPU-used[n.NID], 0) / seconds
				r.CPU += r.Nodes[i].CPU
			}
		}
	}
}

func (s *jobStats) forwarded() (n uint64) {
	for _, c := range s.Syscalls {
		n += c.Forwarded
	}
	return n
}

// faults is those that took a message: zero pages at their home take none.
func (r *jobRates) faults() (n float64) {
	for _, kind := range []string{"read", "write", "upgrade"} {
		n += r.Faults[kind]
	}
	return n
}

func topTable(w io.Writer, jobs []jobRates) error {
	rows := [][]string{{"ID", "NAME", "STATE", "THREADS", "WHERE", "CPU%", "FAULTS/S", "MB/S", "MOVES/S", "CALLS/S", "COMMAND"}}
	for _, j := range jobs {
		rows = append(rows, []string{j.ID, dash(j.Name), j.State, strconv.Itoa(j.Threads), whereabouts(j.info), percent(j.CPU),
			whole(j.faults()), strconv.FormatFloat(j.Bytes/1e6, 'f', 1, 64), whole(j.Moves), whole(j.Calls), oneLine(j.Command)})
	}
	return table(w, rows)
}

func topDetails(w io.Writer, j jobRates) error {
	fmt.Fprintf(w, "\nfaults a second: %s read, %s write, %s upgrade, %s of zero pages\n\n",
		whole(j.Faults["read"]), whole(j.Faults["write"]), whole(j.Faults["upgrade"]), whole(j.Faults["zero"]))
	rows := [][]string{{"NODE", "NAME", "LINK", "ADDRESS", "THREADS", "CPU%"}}
	for _, n := range j.Nodes {
		rows = append(rows, []string{strconv.Itoa(n.NID), dash(n.Name), n.State, dash(n.Addr), strconv.Itoa(n.Threads), percent(n.CPU)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return threadTable(w, []control.Info{j.info})
}

func percent(cpu float64) string { return strconv.FormatFloat(cpu*100, 'f', 0, 64) }
func whole(n float64) string     { return strconv.FormatFloat(n, 'f', 0, 64) }
