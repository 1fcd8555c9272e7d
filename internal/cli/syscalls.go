package cli

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"popcorn/internal/syscalls"
)

func newSyscalls() *cobra.Command {
	var asJSON bool
	var class string
	cmd := &cobra.Command{
		Use:   "syscalls",
		Short: "Print what becomes of each system call of a thread that is away",
		Long: `syscalls prints the table by which system calls of threads away from home are
handled. Classes:

` + syscalls.Legend(),
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			entries, err := ofClass(class)
			if err != nil {
				return err
			}
			return printSyscalls(cmd.OutOrStdout(), entries, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().StringVar(&class, "class", "", "only those of `CLASS`")
	cmd.RegisterFlagCompletionFunc("class", cobra.FixedCompletions(classNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func classNames() []string {
	var out []string
	for _, c := range syscalls.Classes() {
		out = append(out, c.String())
	}
	return out
}

// ofClass returns the table's rows of the class so named, all without a name.
func ofClass(name string) ([]syscalls.Entry, error) {
	if name == "" {
		return syscalls.All(), nil
	}
	var class syscalls.Class
	if err := class.UnmarshalText([]byte(name)); err != nil {
		return nil, usagef("no class %q: there are %q", name, classNames())
	}
	var out []syscalls.Entry
	for _, e := range syscalls.All() {
		if e.Class == class {
			out = append(out, e)
		}
	}
	return out, nil
}

func printSyscalls(w io.Writer, entries []syscalls.Entry, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Version  int              `json:"version"`
			Syscalls []syscalls.Entry `json:"syscalls"`
		}{1, entries})
	}
	rows := [][]string{{"NUMBER", "NAME", "CLASS", "NOTE"}}
	for _, e := range entries {
		rows = append(rows, []string{strconv.Itoa(e.Nr), e.Name, e.Class.String(), dash(e.Note)})
	}
	return table(w, rows)
}
