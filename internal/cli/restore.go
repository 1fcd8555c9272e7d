package cli

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/image"
	"popcorn/internal/job"
)

func newRestore() *cobra.Command {
	var f runFlags
	var check bool
	cmd := &cobra.Command{
		Use:   "restore [flags] FILE",
		Short: "Let a program go on that was saved by checkpoint",
		Long: `restore makes the program anew that popcorn checkpoint has saved in FILE, with
the same process and thread ids, and lets it go on, on one or several nodes. Its
terminal, and pipes that led to other processes as standard streams, are those
of restore; other files it had open are opened where they were.

It refuses a file that is damaged, a program whose files have changed since, and
a processor that lacks what the program may use. Otherwise it does as popcorn run
does: the exit code is the program's own.`,
		Example: `  popcorn restore big.image
  popcorn restore --nodes 3 --spread big.image`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := isBehind()
			if f.background && !check && b == nil {
				return runBehind(cmd)
			}
			spec, deputies, err := f.spec(cmd)
			if err == nil {
				spec.Image = args[0]
				err = absolute(&spec.Image)
			}
			if err != nil {
				return ours(err)
			}
			im, err := job.Restorable(spec.Image, check)
			if check {
				return errors.Join(err, printImage(cmd.OutOrStdout(), im))
			}
			if err != nil {
				return ours(err)
			}
			spec.Argv, spec.Path = im.Process.Argv, im.Process.Exe.Path
			return runJob(cmd, spec, deputies, b)
		},
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "only look whether FILE is whole and can be restored here")
	return cmd
}

// printImage tells what an image is of; nil when there is none.
func printImage(w io.Writer, im *image.Image) error {
	if im == nil {
		return nil
	}
	p := &im.Process
	return table(w, [][]string{{"PID", "THREADS", "SAVED", "COMMAND"}, {strconv.Itoa(p.PID), strconv.Itoa(len(im.Threads)),
		time.Unix(p.Taken, 0).Format(time.DateTime), strings.Join(p.Argv, " ")}})
}
