package sys

import (
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSenders has signals come from the kernel, from a process, and from both.
func TestSenders(t *testing.T) {
	c := make(chan os.Signal, 8)
	watched := []Signal{SIGALRM, SIGUSR1, SIGTSTP, SIGCONT}
	for _, s := range watched {
		signal.Notify(c, s)
	}
	defer signal.Stop(c)
	if err := WatchSenders(watched...); err != nil {
		t.Fatal(err)
	}
	if err := WatchSenders(watched...); err != nil { // again changes nothing
		t.Fatal(err)
	}
	timer := func() {
		if _, err := unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Value: unix.Timeval{Usec: 1000}}); err != nil {
			t.Fatal(err)
		}
	}
	kill := func(s Signal) {
		if err := Kill(Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(s Signal) {
		t.Helper()
		select {
		case got := <-c:
			if got != s {
				t.Fatalf("signal %v came, not %v", got, s)
			}
		case <-time.After(time.Minute):
			t.Fatalf("signal %v did not come", s)
		}
	}
	sent := func(s Signal, kernel, process bool) {
		t.Helper()
		if k, p := Sent(s); k != kernel || p != process {
			t.Errorf("signal %v: by the kernel %t, by a process %t; should be %t, %t", s, k, p, kernel, process)
		}
	}
	timer()
	expect(SIGALRM)
	sent(SIGALRM, true, false)
	sent(SIGALRM, false, false) // nothing since then
	kill(SIGALRM)
	expect(SIGALRM)
	timer()
	expect(SIGALRM)
	sent(SIGALRM, true, true)
	kill(SIGUSR1)
	expect(SIGUSR1)
	sent(SIGUSR1, false, true)

	kill(SIGTSTP)
	expect(SIGTSTP)
	sent(SIGTSTP, false, true)
	kill(SIGTSTP)
	expect(SIGTSTP)
	kill(SIGCONT)
	expect(SIGCONT)
	sent(SIGTSTP, false, false) // discarded
	kill(SIGTSTP)
	expect(SIGTSTP)
	sent(SIGCONT, false, false)
	sent(SIGTSTP, false, true)

	everNoted.Store(0)
	sent(SIGUSR1, false, true) // as one from before WatchSenders
}
