package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
)

// Main runs the command line args (without the program's name) and returns
// the exit code.
func Main(args []string) int {
	root := NewRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	var quiet *exitError
	if err != nil && !(errors.As(err, &quiet) && quiet.err == nil) {
		fmt.Fprintf(os.Stderr, "popcorn: %v\n", err)
	}
	return codeOf(err)
}

// NewRoot is the whole command line, for Main and for what is generated from it.
func NewRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "popcorn",
		Short: "Run one ordinary program on several hosts at once",
		Long: `popcorn runs an ordinary, unmodified, multithreaded Linux program so that its
threads live on several nodes at once, over one coherent memory.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that an unknown verb reaches RunE
		RunE:          unknownVerb,
	}
	root.SetUsageTemplate(strings.NewReplacer("Available Commands", "Verbs", "[command]", "VERB").Replace(root.UsageTemplate()))
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(
		newRun(), newAttach(), newDetach(), newCheckpoint(), newRestore(), newPs(), newTop(), newWhere(), newMigrate(), newInspect(), newKill(), newPause(), newResume(), newWait(),
		newCheck(), newSyscalls(), newDemo(), newBench(), newVersion(), newCompletion(), newNode(),
		newSupervise(), newDeputy(),
	)
	return root
}

func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s? ", strings.Join(near, ", "))
	}
	return usagef("unknown verb %q; %ssee popcorn help", args[0], hint)
}

// newSupervise only reserves the name: main takes this verb before we are
// asked.
func newSupervise() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise",
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return usagef("supervise is not for people") },
	}
}

// newDeputy reserves the name that daemons start deputies by.
func newDeputy() *cobra.Command {
	return &cobra.Command{
		Use:    "deputy",
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return usagef("deputy is not for people") },
	}
}

// interruptible returns a context that ends at ^C: what every verb but run
// wants, which leaves signals to the program.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt)
}

// exactly refuses any other number of arguments than those named.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usagef("%s takes no argument, not %q", cmd.Name(), args)
		}
		return usagef("%s takes %s; see %s --help", cmd.Name(), strings.Join(names, " and "), cmd.CommandPath())
	}
}
