package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Watch an ordinary program spread over three nodes",
		Args:  exactly(),
		RunE:  func(*cobra.Command, []string) error { return errors.New("demo is not there yet") },
	}
}
