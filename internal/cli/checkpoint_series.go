package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"popcorn/internal/control"
)

// checkSeries tells what is wrong with --every and --keep.
func checkSeries(cmd *cobra.Command, r control.Checkpoint, every time.Duration, keep int) error {
	given := cmd.Flags().Changed
	switch {
	case given("every") && every <= 0:
		return usagef("--every %v: a time above 0 is wanted", every)
	case given("keep") && !given("every"):
		return usagef("--keep is for --every")
	case keep < 1:
		return usagef("--keep %d: at least 1 image is kept", keep)
	case every > 0 && (r.Kill || r.Check || given("json")):
		return usagef("--every excludes --kill, --check and --json")
	}
	return nil
}

// checkpointSeries saves a job again and again, until it has ended or ^C.
func checkpointSeries(cmd *cobra.Command, who string, r control.Checkpoint, every time.Duration, keep int, quiet bool) error {
	if r.File == "" {
		return usagef("checkpoint needs -o FILE")
	}
	ctx, stop := interruptible(cmd)
	c, err := dialJob(who)
	if err != nil {
		stop()
		return err
	}
	ended := make(chan struct{})
	defer func() { stop(); <-ended }()
	go func() { // until the program or this command ends
		defer close(ended)
		c.Wait(ctx)
	}()
	final := r.File
	for n := 0; ; n++ {
		r.File = final + ".next"
		done, err := checkpoint(cmd, who, r)
		switch {
		case n > 0 && (errors.Is(err, control.ErrNoSuchJob) || over(ended)):
			return nil
		case err == nil:
			err = refusal(who, done, false)
		}
		if err == nil {
			err = rotate(r.File, final, keep)
		}
		if err != nil {
			return err
		}
		if !quiet {
			tellSaved(cmd, final, done)
		}
		select {
		case <-ended:
			return nil
		case <-time.After(every):
		}
	}
}

func over(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// rotate gives the image in file its name; those before it move on by one, and
// the one after the last that is kept is replaced.
func rotate(file, name string, keep int) error {
	called := func(n int) string {
		if n == 0 {
			return name
		}
		return fmt.Sprintf("%s.%d", name, n)
	}
	for n := keep - 1; n > 0; n-- {
		if err := os.Rename(called(n-1), called(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("keep image: %w", err)
		}
	}
	if err := os.Rename(file, name); err != nil {
		return fmt.Errorf("name image: %w", err)
	}
	return nil
}
