package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
	"popcorn/internal/image"
)

// checkpointPatience bounds the writing of an image.
const checkpointPatience = 4 * time.Hour

func newCheckpoint() *cobra.Command {
	var r control.Checkpoint
	var quiet, asJSON, leave bool
	var every time.Duration
	keep := 1
	cmd := &cobra.Command{
		Use:   "checkpoint JOB -o FILE",
		Short: "Save a job to a file, from which it can be restored",
		Long: `checkpoint saves a whole job, its threads on any nodes, as one image in FILE.
The program stops only while its state and the layout of its memory are taken;
the file is written while it runs on. FILE is replaced when the new image is
complete and on the disk. It is an ELF core file: gdb PROGRAM FILE opens it. A
name that ends in .zst makes it a compressed one (zstd -d).

--check looks for what cannot be saved and touches nothing; it exits with 1 when
there is something. checkpoint itself refuses for the same reasons.`,
		Example: `  popcorn checkpoint big -o big.image
  popcorn checkpoint --kill 4711 -o sum.image && popcorn restore sum.image`,
		Args:              exactly("JOB"),
		ValidArgsFunction: completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSeries(cmd, r, every, keep); err != nil {
				return err
			}
			if every > 0 {
				return checkpointSeries(cmd, args[0], r, every, keep, quiet)
			}
			done, err := checkpoint(cmd, args[0], r)
			switch {
			case err != nil:
				return err
			case asJSON:
				err = printJSON(cmd.OutOrStdout(), done)
			case len(done.Obstacles) > 0:
				err = printObstacles(cmd.OutOrStdout(), done.Obstacles)
			case !quiet && !r.Check:
				tellSaved(cmd, r.File, done)
			}
			return errors.Join(err, refusal(args[0], done, r.Check))
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&r.File, "output", "o", "", "write the image to `FILE`")
	fs.BoolVar(&r.Check, "check", false, "only tell what cannot be saved")
	fs.BoolVar(&r.Kill, "kill", false, "end the program when the image is complete")
	fs.BoolVar(&leave, "leave-running", true, "let the program run on while the image is written; the default")
	fs.DurationVar(&every, "every", 0, "save it every `TIME`, until it ends")
	fs.IntVar(&keep, "keep", 1, "with --every: keep the last `N` images, the older ones as FILE.1, FILE.2")
	fs.BoolVarP(&quiet, "quiet", "q", false, "do not tell how it went")
	fs.BoolVar(&asJSON, "json", false, "tell how it went as JSON")
	return cmd
}

func checkpoint(cmd *cobra.Command, who string, r control.Checkpoint) (control.Checkpointed, error) {
	var none control.Checkpointed
	switch {
	case r.File == "" && !r.Check:
		return none, usagef("checkpoint needs -o FILE, or --check")
	case r.Kill && cmd.Flags().Changed("leave-running"):
		return none, usagef("--kill and --leave-running exclude each other")
	}
	if err := absolute(&r.File); err != nil {
		return none, err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, checkpointPatience)
	defer cancel()
	c, err := dialJob(who)
	if err != nil {
		return none, err
	}
	return c.Checkpoint(ctx, r)
}

// refusal is the error for obstacles, which have been printed: that of a check is
// an answer.
func refusal(job string, done control.Checkpointed, check bool) error {
	switch {
	case len(done.Obstacles) == 0:
		return nil
	case check:
		return &exitError{code: exitFailed}
	}
	return fmt.Errorf("job %s cannot be saved, nothing was done to it: %w", job, control.ErrRefused)
}

func printObstacles(w io.Writer, list []image.Obstacle) error {
	rows := [][]string{{"WHAT", "OWNER", "WHY", "WHAT TO DO"}}
	for _, o := range list {
		rows = append(rows, []string{o.Thing, o.Owner, o.Why, o.Do})
	}
	return table(w, rows)
}

func tellSaved(cmd *cobra.Command, file string, done control.Checkpointed) {
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d bytes; stopped for %.1f ms, took %.0f ms\n", file, done.Bytes, done.StoppedMS, done.TookMS)
}
