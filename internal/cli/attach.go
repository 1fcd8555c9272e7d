package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
	"popcorn/internal/job"
)

func newAttach() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "attach [flags] PID",
		Short: "Take a running program under control, so that it can be migrated",
		Long: `attach takes a process that was started without popcorn under control. It is a
job from then on: popcorn migrate, where, ps, kill and all others work on it.
Nothing in it changes before its first thread is moved.

attach stays in the foreground until the program ends, or is let go by ^C or by
popcorn detach: everything is brought home then, and no trace of popcorn is left
in the program. Its exit code is 0 in either case, 5 when the program cannot be
attached to, 3 when there is no such process. Who may trace a process may attach
to it.`,
		Example: `  popcorn attach --nodes 2 4711 &
  popcorn migrate 4711 1
  popcorn detach 4711`,
		Args: exactly("PID"),
		RunE: func(cmd *cobra.Command, args []string) error { return attach(cmd, &f, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.IntVar(&f.nodes, "nodes", 1, "`N` local nodes, home included")
	fs.BoolVar(&f.spread, "spread", false, "threads that are made from now on go round-robin over the nodes")
	fs.StringVar(&f.stats, "stats", "", "write at the end what moved, as JSON, to `FILE`")
	f.addShared(fs)
	return cmd
}

// startAttach is a variable for tests that look at the Spec only.
var startAttach = job.Attach

func attach(cmd *cobra.Command, f *runFlags, word string) error {
	pid, err := strconv.Atoi(word)
	if err != nil || pid <= 0 {
		return usagef("%q is no process id", word)
	}
	spec, deputies, err := attachSpec(cmd, f, pid)
	if err != nil {
		return err
	}
	end, err := startAttach(cmd.Context(), spec, deputies, func(id string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "popcorn: process %d (%s) is job %s; ^C lets it go\n", pid, spec.Argv[0], id)
	})
	switch {
	case err != nil:
		return err
	case end.LetGo:
		fmt.Fprintf(cmd.ErrOrStderr(), "popcorn: process %d was let go\n", pid)
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "popcorn: process %d has ended with exit code %d\n", pid, end.Code)
	}
	return nil
}

func attachSpec(cmd *cobra.Command, f *runFlags, pid int) (s job.Spec, deputies job.Deputies, err error) {
	set, err := resolve(flagSettings(cmd, f))
	if err != nil {
		return s, nil, err
	}
	s = job.Spec{Attach: pid, Argv: job.CommandOf(pid), Dir: "/", Nodes: 1, On: -1, Name: f.name, LogFile: f.log,
		IdlePoll: f.idlePoll, Verify: os.Getenv("POPCORN_VERIFY"), LossTimeout: f.loss}
	if s.ForeignFrom, err = foreignFrom(); err != nil {
		return s, nil, err
	}
	s.TCP = f.transport == "tcp"
	if s.Encrypt, err = f.encrypts(); err != nil {
		return s, nil, err
	}
	if s.Follow, err = set.follow(); err != nil {
		return s, nil, err
	}
	settle(&s, set) // --on, perhaps from a file, says where programs begin: this one has
	if deputies, err = f.placeOnHosts(cmd, &s); err != nil {
		return s, nil, err
	}
	if err := absolute(&s.StatsFile, &s.LogFile); err != nil {
		return s, nil, err
	}
	return s, deputies, checkSpec(s)
}

// detachPatience bounds the wait for a program to come home.
const detachPatience = time.Minute

func newDetach() *cobra.Command {
	cmd := onJob("detach", "Bring a job home that was attached to, and let it go", func(ctx context.Context, _ *cobra.Command, c *control.Client) error {
		ctx, cancel := context.WithTimeout(ctx, detachPatience)
		defer cancel()
		err := c.Detach(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("it has not come home within %v: %w; it is let go as soon as it has (a stopped one, when it goes on)", detachPatience, err)
		}
		return err
	})
	cmd.Long = `detach brings every thread and all memory of a job home, and lets the program go
that popcorn attach has taken under control. It runs on as if nothing had been.
A program that popcorn run has started is not let go: its exit code is awaited.`
	return cmd
}
