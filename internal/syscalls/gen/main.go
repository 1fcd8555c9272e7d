// Command gen writes SYSCALLS.md from the table.
package main

import (
	"flag"
	"fmt"
	"os"

	"popcorn/internal/syscalls"
)

func main() {
	out := flag.String("o", "SYSCALLS.md", "file to write")
	flag.Parse()
	if err := os.WriteFile(*out, []byte(syscalls.Document()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
