package sys

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func init() { children["notify"] = notifyChild }

// getppidFilter has getppid answered by the listener and allows the rest.
func getppidFilter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: SeccompDataNr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: SYS_GETPPID, SkipFalse: 1},
		bpf.RetConstant{Val: SECCOMP_RET_USER_NOTIF},
		bpf.RetConstant{Val: SECCOMP_RET_ALLOW},
	}
}

// notifyChild sends its listener over descriptor 3 and exits 0 when getppid
// gave a made-up answer, an error and the truth in this order.
func notifyChild() int {
	runtime.LockOSThread()
	raw, err := bpf.Assemble(getppidFilter())
	if err != nil {
		return 10
	}
	prog := make([]BPFInstr, len(raw))
	for i, r := range raw {
		prog[i] = BPFInstr{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	parent := os.Getppid()
	if SetNoNewPrivs() != nil {
		return 11
	}
	fd, err := InstallFilter(prog, SECCOMP_FILTER_FLAG_NEW_LISTENER|SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if err != nil {
		fmt.Fprintln(os.Stderr, "install filter:", err)
		return 12
	}
	if SendFDs(3, []byte{'x'}, fd) != nil {
		return 13
	}
	Close(fd)
	for i, want := range []struct {
		val   uintptr
		errno Errno
	}{{4242, 0}, {0, ENOTSUP}, {uintptr(parent), 0}} {
		v, _, e := unix.Syscall(unix.SYS_GETPPID, 1, 2, 3)
		if e != want.errno || e == 0 && v != want.val {
			return 20 + i
		}
	}
	return 0
}

func TestNotificationsAreAnswered(t *testing.T) {
	if err := withListener(func(int) error { return nil }); err != nil {
		t.Skip(err)
	}
	cmd, fd := startNotifyChild(t)
	if kernelAtLeast("6.6") {
		check(t, NotifSyncWakeup(fd))
	}
	for i := range 3 {
		n, err := NotifRecv(fd)
		check(t, err)
		if n.Nr != SYS_GETPPID || n.PID < cmd.Process.Pid || n.Arch != AuditArch || n.Args[2] != 3 || n.IP == 0 {
			t.Errorf("notification %+v", n)
		}
		if !NotifValid(fd, n.ID) || NotifValid(fd, n.ID+1) {
			t.Error("validity is wrong")
		}
		switch i {
		case 0:
			err = NotifSend(fd, n.ID, 4242, 0)
		case 1:
			err = NotifSend(fd, n.ID, 0, ENOTSUP)
		case 2:
			err = NotifContinue(fd, n.ID)
		}
		check(t, err)
		if err := NotifSend(fd, n.ID, 0, 0); err != ENOENT && err != EINPROGRESS {
			t.Errorf("second answer: %v", err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
}

// startNotifyChild returns the running child and its listener.
func startNotifyChild(t *testing.T) (*exec.Cmd, int) {
	t.Helper()
	ours, theirs, err := Socketpair(SOCK_STREAM)
	check(t, err)
	defer Close(ours)
	f := os.NewFile(uintptr(theirs), "socket")
	defer f.Close()
	cmd := childCmd(t, "notify", f)
	check(t, cmd.Start())
	f.Close() // or the child's death would be no end of the stream
	_, fds, err := RecvFDs(ours, make([]byte, 1), 1)
	if err != nil || len(fds) != 1 {
		t.Fatalf("listener %v: %v (child: %v)", fds, err, cmd.Wait())
	}
	t.Cleanup(func() { Close(fds[0]) })
	return cmd, fds[0]
}

func TestEncodeFilterIsSockFilter(t *testing.T) {
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xc000003e, SkipTrue: 1, SkipFalse: 2},
	})
	check(t, err)
	want := []byte{0x20, 0, 0, 0, 4, 0, 0, 0, 0x15, 0, 1, 2, 0x3e, 0, 0, 0xc0}
	if got := EncodeFilter(raw); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestSeccompFlagsKnown(t *testing.T) {
	if err := seccompFlagsKnown(1 << 30); err != EINVAL {
		t.Errorf("a flag that is none: %v", err)
	}
	if err := seccompActionAvail(0x12340000); err != EOPNOTSUPP {
		t.Errorf("an action that is none: %v", err)
	}
}
