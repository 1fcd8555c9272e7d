package test

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"popcorn/test/lab"
)

// TestRunOnHosts: a job of local nodes runs on a host of the lab as on the
// machine, where the machine's programs are seen and where nothing is but
// popcorn itself.
func TestRunOnHosts(t *testing.T) {
	l := lab.New(t, 2, lab.Origin(), lab.File("/usr/bin/popcorn", popcornBin))
	for host, c := range map[string]struct {
		program []string
		out     string
		code    int
	}{
		"a": {[]string{"/bin/sh", "-c", "hostname=$(cat /etc/hostname); echo $hostname; exit 3"}, "a\n", 3},
		"b": {[]string{"popcorn", "completion", "nothing"}, "", 2},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		argv := append([]string{"popcorn", "run", "--nodes", "2", "--on", "1", "--"}, c.program...)
		out, err := l.Host(host).Command(ctx, argv...).Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code || string(out) != c.out {
			t.Errorf("%s: %q, %v; want %q and code %d", host, out, err, c.out, c.code)
		}
	}
}
