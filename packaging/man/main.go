// Command man writes the manual pages of popcorn, one a verb, into a folder: they
// are the help texts of internal/cli.
//
//	go run ./packaging/man DIR VERSION DATE
//
// DATE is what the pages are dated, as 2026-11-26.
package main

import (
	"fmt"
	"os"
	"time"

	"popcorn/internal/cli"

	"github.com/spf13/cobra/doc"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "man: %v\n", err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("want a folder, a version and a date, not %q", args)
	}
	date, err := time.Parse(time.DateOnly, args[2])
	if err != nil {
		return fmt.Errorf("read date: %w", err)
	}
	root := cli.NewRoot()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Title: "POPCORN", Section: "1", Source: "popcorn " + args[1], Manual: "popcorn", Date: &date}
	if err := doc.GenManTree(root, header, args[0]); err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	return nil
}
