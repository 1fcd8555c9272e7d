// Command popcorn runs an unmodified multithreaded program on several hosts at
// once. Everything it does is in the rooms below; see ARCHITECTURE.md.
package main

import (
	"os"

	"popcorn/internal/cli"
	"popcorn/internal/job"
)

func main() {
	// A supervisor is started once per job and node: it does without the
	// command line's set-up.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(job.Supervise(os.Args[2:]))
		case "deputy":
			os.Exit(job.Deputy())
		case "foster":
			os.Exit(cli.Foster())
		}
	}
	os.Exit(cli.Main(os.Args[1:]))
}
