package sys

import (
	"os"
	"testing"
)

func TestPidfdTakesADescriptorAndKills(t *testing.T) {
	r, w, err := Pipe(O_CLOEXEC)
	check(t, err)
	defer Close(r)
	s := newSleeper(t, w)
	defer s.end()
	Close(w)
	pfd, err := PidfdOpen(s.pid, 0)
	check(t, err)
	defer Close(pfd)
	fd, err := PidfdGetfd(pfd, 0)
	check(t, err)
	_, err = Write(fd, []byte("hello"))
	check(t, err)
	b := make([]byte, 8)
	n, err := Read(r, b)
	check(t, err)
	if string(b[:n]) != "hello" {
		t.Errorf("read %q", b[:n])
	}
	check(t, Close(fd))
	if _, err := PidfdGetfd(pfd, 99); err != EBADF {
		t.Errorf("no such descriptor: %v", err)
	}
	check(t, PidfdSendSignal(pfd, SIGTERM))
	check(t, WaitPeek())
	_, status, _, err := Wait(s.pid, 0)
	check(t, err)
	if status.Signal() != SIGTERM {
		t.Errorf("status %#x", uint32(status))
	}
	if err := PidfdSendSignal(pfd, SIGTERM); err != ESRCH {
		t.Errorf("signal to the dead: %v", err)
	}
}

func TestProcessAttributes(t *testing.T) {
	cpus, err := Affinity(0)
	check(t, err)
	if len(cpus) == 0 {
		t.Fatal("no CPU to run on")
	}
	check(t, SetAffinity(Gettid(), cpus...))
	check(t, SetChildSubreaper(true))
	check(t, SetChildSubreaper(false))
	r, w, err := Pipe(O_CLOEXEC)
	check(t, err)
	defer Close(r)
	check(t, CloseRange(uint(w), uint(w), false))
	if err := Close(w); err != EBADF {
		t.Errorf("close again: %v", err)
	}
	if Tgkill(os.Getpid(), 1<<22+1, 0) != ESRCH {
		t.Error("signalled nobody")
	}
}
