package sys

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// sleeper is a process traced from the test's own locked thread.
type sleeper struct {
	t   *testing.T
	pid int
}

// newSleeper starts one; its end is the caller's to see to, in the thread that
// traces it.
func newSleeper(t *testing.T, files ...int) *sleeper {
	t.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	pid, err := Spawn(path, SpawnAttr{Argv: []string{"sleep", "600"}, Env: os.Environ(), Files: files})
	check(t, err)
	return &sleeper{t, pid}
}

// end kills and reaps what is left, through the exit event if traced.
func (s *sleeper) end() {
	Kill(s.pid, SIGKILL)
	for {
		_, status, _, err := Wait(s.pid, 0)
		if err != nil || status.Exited() || status.Signaled() {
			return
		}
		Cont(s.pid, 0)
	}
}

// traced runs f in a locked thread that has seized a sleeper.
func traced(t *testing.T, f func(*sleeper)) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := newSleeper(t)
	defer s.end()
	s.seize()
	f(s)
}

func (s *sleeper) seize() {
	s.t.Helper()
	if err := Seize(s.pid, O_TRACESYSGOOD|O_EXITKILL|O_TRACEEXIT); err != nil {
		if errors.Is(err, EPERM) {
			s.t.Skip(err)
		}
		s.t.Fatal(err)
	}
	check(s.t, Interrupt(s.pid))
	s.stop("interrupt", IsInterruptStop)
}

// stop waits for the next stop, which must be of a kind.
func (s *sleeper) stop(name string, kind func(WaitStatus) bool) WaitStatus {
	s.t.Helper()
	pid, status, _, err := Wait(s.pid, 0)
	check(s.t, err)
	if pid != s.pid || !kind(status) {
		s.t.Fatalf("status %#x of %d is no %s stop", uint32(status), pid, name)
	}
	return status
}

func TestPtraceReadsAndWritesRegisters(t *testing.T) { traced(t, checkPtraceReadsAndWritesRegisters) }

func checkPtraceReadsAndWritesRegisters(s *sleeper) {
	t := s.t
	var before, after Regs
	check(t, GetRegs(s.pid, &before))
	changed := before
	changed.R15 ^= 0x5a5a
	check(t, SetRegs(s.pid, &changed))
	check(t, GetRegs(s.pid, &after))
	if after.R15 != changed.R15 || after.Rsp != before.Rsp {
		t.Errorf("got %+v, want %+v", after, changed)
	}
	check(t, SetRegs(s.pid, &before))

	mask, err := GetSigMask(s.pid)
	check(t, err)
	check(t, SetSigMask(s.pid, mask|1<<(SIGUSR2-1)))
	if got, err := GetSigMask(s.pid); got != mask|1<<(SIGUSR2-1) || err != nil {
		t.Errorf("mask %#x, %v", got, err)
	}
	if _, _, err := GetRobustList(s.pid); err != nil {
		t.Error(err)
	}
	if r, err := GetRseq(s.pid); err != nil || r.Ptr != 0 && r.Size < 20 {
		t.Errorf("rseq %+v, %v", r, err)
	}
}

func TestPtraceMovesXState(t *testing.T) { traced(t, checkPtraceMovesXState) }

func checkPtraceMovesXState(s *sleeper) {
	t := s.t
	buf := make([]byte, 1<<16)
	n, err := GetXState(s.pid, buf)
	check(t, err)
	if n < 576 || buf[464]&3 != 3 { // the mask at 464 has at least x87 and SSE
		t.Fatalf("%d bytes, mask %#x", n, buf[464:472])
	}
	const xmm3 = 160 + 3*16
	buf[512] |= 2 // the component is in use
	copy(buf[xmm3:], "vector register!")
	check(t, SetXState(s.pid, buf[:n]))
	again := make([]byte, n)
	m, err := GetXState(s.pid, again)
	check(t, err)
	if m != n || string(again[xmm3:xmm3+16]) != "vector register!" {
		t.Errorf("%d bytes, xmm3 %q", m, again[xmm3:xmm3+16])
	}
	if err := SetXState(s.pid, buf[:8]); err == nil {
		t.Error("half a state was taken")
	}
}

func TestPending(t *testing.T) { traced(t, checkPending) }

func checkPending(s *sleeper) {
	t := s.t
	if set, err := Pending(s.pid); err != nil || set != 0 {
		t.Errorf("%x, %v: nothing is pending", set, err)
	}
	check(t, Kill(s.pid, SIGUSR2)) // for the process
	for range 40 {                 // more than are read at a time
		check(t, Tgkill(s.pid, s.pid, Signal(34)))
	}
	check(t, Tgkill(s.pid, s.pid, SIGUSR1))
	set, err := Pending(s.pid)
	check(t, err)
	if want := uint64(1<<(SIGUSR1-1) | 1<<(SIGUSR2-1) | 1<<33); set != want {
		t.Errorf("pending %x, want %x", set, want)
	}
}

func TestPtraceTellsStopsApart(t *testing.T) { traced(t, checkPtraceTellsStopsApart) }

func checkPtraceTellsStopsApart(s *sleeper) {
	t := s.t

	check(t, Tgkill(s.pid, s.pid, SIGUSR1))
	check(t, Cont(s.pid, 0))
	status := s.stop("signal", IsSignalStop)
	info, err := GetSigInfo(s.pid)
	check(t, err)
	if status.StopSignal() != SIGUSR1 || info.Signo() != SIGUSR1 || info.Code() != SI_TKILL ||
		info.PID() != os.Getpid() || info.UID() != os.Getuid() || info.Synchronous() {
		t.Errorf("signal %v, info %x", status.StopSignal(), info[:32])
	}
	check(t, SetSigInfo(s.pid, &info))

	check(t, SyscallStep(s.pid, 0)) // not twice: this may be the sleep's entry
	s.stop("system call", IsSyscallStop)

	check(t, Kill(s.pid, SIGSTOP))
	check(t, Cont(s.pid, 0))
	s.stop("signal", IsSignalStop)
	check(t, Cont(s.pid, SIGSTOP))
	s.stop("group", IsGroupStop)
	check(t, Listen(s.pid))
	check(t, Kill(s.pid, SIGCONT))
	s.stop("interrupt", IsInterruptStop) // the end of the group stop
	check(t, Cont(s.pid, 0))
	s.stop("signal", IsSignalStop) // SIGCONT itself
	check(t, Cont(s.pid, SIGTERM))
	s.stop("exit", func(w WaitStatus) bool { return StopEvent(w) == EVENT_EXIT })
	msg, err := EventMsg(s.pid)
	check(t, err)
	if WaitStatus(msg).Signal() != SIGTERM {
		t.Errorf("exit event says %#x", msg)
	}
	check(t, Cont(s.pid, 0))
	_, status, usage, err := Wait(s.pid, 0)
	check(t, err)
	if !status.Signaled() || status.Signal() != SIGTERM || usage.Maxrss == 0 {
		t.Errorf("end %#x, usage %+v", uint32(status), usage)
	}
	if _, _, _, err := Wait(s.pid, 0); err != ECHILD {
		t.Errorf("wait for the dead: %v", err)
	}
}

func TestSingleStepAndDetach(t *testing.T) { traced(t, checkSingleStepAndDetach) }

func checkSingleStepAndDetach(s *sleeper) {
	t := s.t
	check(t, SyscallStep(s.pid, 0))
	s.stop("system call", IsSyscallStop)
	check(t, SetOptions(s.pid, O_EXITKILL)) // a bare SIGTRAP from here on
	check(t, Kill(s.pid, SIGSTOP))          // ends the sleep
	check(t, SingleStep(s.pid, 0))
	status := s.stop("signal", IsSignalStop)
	if sig := status.StopSignal(); sig != SIGSTOP && sig != SIGTRAP {
		t.Errorf("stepped into %v", sig)
	}
	check(t, Detach(s.pid, 0))
	if err := Cont(s.pid, 0); err != ESRCH {
		t.Errorf("go on untraced: %v", err)
	}
	if tid, _, _, err := Wait(s.pid, WNOHANG); tid != 0 || err != nil {
		t.Errorf("wait: %d, %v", tid, err)
	}
}

func TestSeizeOfNobody(t *testing.T) {
	if err := Seize(1<<22+1, 0); err != ESRCH {
		t.Error(err)
	}
}

func TestSynchronousSignals(t *testing.T) {
	var s SigInfo
	s[0], s[8] = byte(SIGSEGV), 1
	if !s.Synchronous() {
		t.Error("SEGV_MAPERR came from outside")
	}
	s[8] = SI_USER
	if s.Synchronous() {
		t.Error("kill -SEGV is the thread's own doing")
	}
}

func TestGetSyscallStop(t *testing.T) { traced(t, checkGetSyscallStop) }

func checkGetSyscallStop(s *sleeper) {
	t := s.t
	if at, err := GetSyscallStop(s.pid); err != nil || at.Entry {
		t.Errorf("interrupted: %+v, %v", at, err)
	}
	check(t, SyscallStep(s.pid, 0)) // wherever it is, it makes one
	s.stop("system call", IsSyscallStop)
	var r Regs
	check(t, GetRegs(s.pid, &r))
	at, err := GetSyscallStop(s.pid)
	if err != nil || !at.Entry || at.Nr != r.Orig_rax || at.Args[0] != r.Rdi || at.Args[5] != r.R9 || at.Arch != 0xc000003e {
		t.Errorf("entry: %+v, %v; registers %+v", at, err, r)
	}
	check(t, SyscallStep(s.pid, 0))
	check(t, Tgkill(s.pid, s.pid, SIGUSR1))
	s.stop("system call", IsSyscallStop)
	if at, err := GetSyscallStop(s.pid); err != nil || at.Entry {
		t.Errorf("exit: %+v, %v", at, err)
	}
}
