package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/node"
)

// drainBeat is how often a node that is being emptied is asked how far it is.
const drainBeat = 500 * time.Millisecond

// drainer is what node drain needs of the daemon of this host.
type drainer interface {
	Drain(ctx context.Context, name string) (node.Drained, error)
	Drained(ctx context.Context, name string) (node.Drained, error)
}

// draining is one run of node drain.
type draining struct {
	drainer
	name    string
	timeout time.Duration // 0: none
	detach  bool
	beat    time.Duration
	show    func(string) // progress
}

func newNodeDrain() *cobra.Command {
	d := draining{beat: drainBeat}
	var undo bool
	cmd := &cobra.Command{
		Use:   "drain NODE [--detach] [--timeout DURATION] [--undo]",
		Short: "Empty a node without stopping what runs there",
		Long: `drain has NODE take no more programs and asks those there to move away, and returns
when none is left. The node stays so, over restarts of its daemon too, until
--undo. It takes root, or the daemon's own user, at any node.`,
		Example: `  popcorn node drain b --timeout 10m && ssh b reboot
  popcorn node drain b --undo`,
		Args:              exactly("NODE"),
		ValidArgsFunction: completeNodes,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			timed := cmd.Flags().Changed("timeout")
			switch {
			case undo && (d.detach || timed):
				return usagef("node drain --undo waits for nothing: leave out --detach and --timeout")
			case d.detach && timed:
				return usagef("--detach and --timeout exclude each other")
			case timed && d.timeout <= 0:
				return usagef("--timeout %v: want a time to wait, as in 90s or 10m", d.timeout)
			}
			return nil
		},
		RunE: onNode(func(ctx context.Context, cmd *cobra.Command, c *node.Client, args []string) error {
			if undo {
				_, err := c.Undrain(ctx, args[0])
				return err
			}
			d.drainer, d.name, d.show = c, args[0], progress(cmd.ErrOrStderr())
			return d.run(ctx)
		}),
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "have NODE take programs again; those that were asked to leave still do")
	cmd.Flags().BoolVar(&d.detach, "detach", false, "do not wait until none is left")
	cmd.Flags().DurationVar(&d.timeout, "timeout", 0, "wait for this long at most: a `DURATION` as in 90s or 10m (default: until ^C)")
	return cmd
}

// progress rewrites one line of a terminal, and removes it when there is nothing
// to say. Elsewhere it is silent.
func progress(w io.Writer) func(string) {
	if !isTerminal(w) {
		return func(string) {}
	}
	return func(s string) { fmt.Fprintf(w, "\r\x1b[K%s", s) }
}

// run begins and waits until the node is empty.
func (d draining) run(ctx context.Context) error {
	got, err := d.Drain(ctx, d.name)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; node %s may be draining already (popcorn node drain --undo %[1]s ends that)", d.name)
	case err != nil || d.detach:
		return err
	}
	defer d.show("")
	return d.await(ctx, got)
}

// await asks every beat until nothing is left, for as long as it may.
func (d draining) await(ctx context.Context, got node.Drained) error {
	tick := time.NewTicker(d.beat)
	defer tick.Stop()
	var late <-chan time.Time
	if d.timeout > 0 {
		timer := time.NewTimer(d.timeout)
		defer timer.Stop()
		late = timer.C
	}
	for got.Left > 0 {
		d.show(programs(got.Left) + " left")
		select {
		case <-late:
			return d.stays("", got.Left)
		case <-ctx.Done():
			return d.stays("interrupted: ", got.Left)
		case <-tick.C:
		}
		next, err := d.Drained(ctx, d.name)
		switch {
		case ctx.Err() != nil:
			return d.stays("interrupted: ", got.Left)
		case err != nil:
			return err
		case !next.Draining:
			return fmt.Errorf("node %s is not being emptied any more: somebody has undone it; %s left there", d.name, programs(next.Left))
		}
		got = next
	}
	return nil
}

func (d draining) stays(why string, left int) error {
	are := "are"
	if left == 1 {
		are = "is"
	}
	return fmt.Errorf("%s%s %s still there; the node stays draining (popcorn node drain --undo %s ends that)", why, programs(left), are, d.name)
}

func programs(n int) string {
	if n == 1 {
		return "1 program"
	}
	return fmt.Sprintf("%d programs", n)
}
