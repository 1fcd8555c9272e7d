// Command gen writes SYSCALLS.md from the table and the claims of the test programs.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"popcorn/internal/syscalls"
)

func main() {
	out := flag.String("o", "SYSCALLS.md", "file to write")
	guests := flag.String("guests", "test/guests", "folder of the programs that test calls")
	flag.Parse()
	if err := write(*out, *guests); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(out, guests string) error {
	files, err := filepath.Glob(filepath.Join(guests, "*.c"))
	if err != nil {
		return err
	}
	sources := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("read guest: %w", err)
		}
		sources[strings.TrimSuffix(filepath.Base(f), ".c")] = string(text)
	}
	return os.WriteFile(out, []byte(syscalls.Document(syscalls.Proofs(sources))), 0o644)
}
