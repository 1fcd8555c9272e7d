package job

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
)

// Run runs the program natively and returns its exit code, 128+N when signal
// N ended it. An error means the program never ran.
func Run(ctx context.Context, s Spec) (int, error) {
	cmd := exec.CommandContext(ctx, s.Path)
	cmd.Args, cmd.Env, cmd.Dir = s.Argv, s.Env, s.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 125, fmt.Errorf("start %s: %w", s.Path, err)
	}
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		return 125, fmt.Errorf("wait for %s: %w", s.Path, err)
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	status := reflect.ValueOf(cmd.ProcessState.Sys()).Uint()
	return 128 + int(status&0x7f), nil
}
