package test

import (
	"fmt"
	"syscall"
	"testing"
)

// TestFatalSignals has every signal take its default action on a thread that is
// away: what ends the program ends it with the same status as natively, what is
// ignored does nothing. Those that stop it are for TestTerminal.
func TestFatalSignals(t *testing.T) {
	program := guest(t, "fatal")
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			continue
		case 32, 33: // the C library's own
			continue
		}
		if sig > 36 && sig < 63 && soak() == 0 {
			continue // all alike
		}
		t.Run(fmt.Sprintf("%d", sig), func(t *testing.T) {
			c := command{path: program, args: []string{fmt.Sprintf("%d", sig)}}
			compare(t, c, run(t, c, native), run(t, c, spread2))
		})
	}
}
