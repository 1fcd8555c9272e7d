package guest

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// onTracer runs f on a locked thread with a tracer of its own.
func onTracer(t *testing.T, f func(tr *Tracer)) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tr, err := NewTracer()
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	f(tr)
}

func start(t *testing.T, tr *Tracer, argv ...string) *Process {
	t.Helper()
	p, err := Start(tr, sys.SpawnAttr{Argv: argv, Env: os.Environ(), Dir: "/", Files: []int{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reap kills p and collects all its threads.
func reap(t *testing.T, p *Process) {
	t.Helper()
	p.Kill()
	for sys.Kill(p.PID, 0) == nil { // else its end was collected before, and others' may be long in coming
		tid, status, _, err := sys.Wait(-1, 0)
		if err != nil || (tid == p.PID && !status.Stopped()) {
			break
		}
		if status.Stopped() { // the exit event comes before a kill's end
			sys.Cont(tid, 0)
		}
	}
	p.Close()
}

func TestStartAndExec(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "sh", "-c", "exit 7")
		if err := p.ConfineAtRest([]int{900}); err != nil {
			t.Fatal(err)
		}
		if err := p.Exec("/bin/sh"); err != nil {
			t.Fatal(err)
		}
		if err := sys.Cont(p.PID, 0); err != nil {
			t.Fatal(err)
		}
		for {
			_, status, _, err := sys.Wait(p.PID, 0)
			if err != nil {
				t.Fatal(err)
			}
			if status.Exited() {
				if status.ExitStatus() != 7 {
					t.Fatalf("exit status %d, want 7", status.ExitStatus())
				}
				break
			}
			sys.Cont(p.PID, 0)
		}
		p.Close()
	})
}

func TestExecMissing(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "nothing")
		err := p.Exec("/nonexistent/program")
		if err == nil {
			t.Fatal("exec of a missing program succeeded")
		}
		t.Log(err)
		reap(t, p)
	})
}

// TestDistribute puts the agent into a program, lets the butler map memory and
// starts a remote stub with the same vDSO addresses.
func TestDistribute(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "sleep", "100")
		if err := p.Exec("/bin/sleep"); err != nil {
			t.Fatal(err)
		}
		if err := p.Finish(p.PID); err != nil {
			t.Fatal(err)
		}
		h, err := p.Distribute(p.PID, false)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.ByButler(sys.SYS_MMAP, 0, vm.PageSize, 3, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS, ^uint64(0), 0)
		if err != nil {
			t.Fatal(err)
		}
		m, ok, err := p.MappingAt(vm.Addr(a))
		if err != nil || !ok || m.Kind != vm.Coherent || m.Prot != vm.ProtRead|vm.ProtWrite {
			t.Fatalf("mapping made by the butler: %+v %v %v", m, ok, err)
		}
		if _, err := p.ByButler(sys.SYS_MUNMAP, a+1, vm.PageSize); err == nil {
			t.Fatal("munmap of an unaligned address succeeded")
		}
		home, err := p.Mappings()
		if err != nil {
			t.Fatal(err)
		}
		origin, _, err := ReadMachine(p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := StartRemote(tr, RemoteClasses{Local: []int{24}, Max: 470}, home, origin)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Spawn(); err != nil {
			t.Fatal(err)
		}
		there, err := r.Mappings()
		if err != nil {
			t.Fatal(err)
		}
		compareVDSO(t, home, there)
		r.Kill()
		h.UFFD.Close()
		sys.Close(h.Listener)
		reap(t, p)
		r.Close()
	})
}

func compareVDSO(t *testing.T, home, there []vm.Mapping) {
	t.Helper()
	at := map[string]vm.Range{}
	for _, m := range home {
		if m.Kind == vm.Local && m.Start < AgentBase || m.Name == "[vdso]" {
			at[m.Name] = m.Range
		}
	}
	found := 0
	for _, m := range there {
		if want, ok := at[m.Name]; ok && m.Name != "" {
			found++
			if m.Range != want {
				t.Errorf("%s at %v, at the origin %v", m.Name, m.Range, want)
			}
		}
	}
	if found == 0 {
		t.Error("no vDSO at the remote")
	}
}

// TestKilledWhileWaitedFor: the stop before a killed thread's end is not swallowed
// by who waits for another one: nobody would let the thread go on to its end.
func TestKilledWhileWaitedFor(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "sh")
		defer reap(t, p)
		p.Kill()
		if _, err := tr.WaitStop(p.PID); !errors.Is(err, ErrGone) {
			sys.Cont(p.PID, 0)
			t.Fatalf("waiting for a killed thread: %v", err)
		}
		for e := range tr.Events {
			if e.TID != p.PID || sys.StopEvent(e.Status) != sys.EVENT_EXIT {
				t.Fatalf("event of %d, status %#x", e.TID, uint32(e.Status))
			}
			sys.Cont(p.PID, 0) // to its end
			return
		}
		t.Error("the stop was swallowed")
	})
}

// TestFirstDiesBeforeOthers: a killed process whose first thread was resumed from
// the stop before its end, as for a call, is not waited for: its end is told only
// after the other threads', which stand before theirs.
func TestFirstDiesBeforeOthers(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "nothing")
		defer reap(t, p)
		other, err := p.NewThread(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		p.Kill()
		// Both are woken, and come to their last stops.
		for end := time.Now().Add(stopPatience); ; {
			if regs := new(sys.Regs); sys.GetRegs(p.PID, regs) == nil && sys.GetRegs(other, regs) == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal("they do not stop before their end")
			}
		}
		if _, err := p.Call(p.PID, sys.SYS_GETPID); !errors.Is(err, ErrGone) && !errors.Is(err, sys.ESRCH) {
			t.Errorf("a call of a dead thread: %v", err)
		}
		for end := time.Now().Add(stopPatience); ; {
			for e := range tr.Events {
				if e.TID == p.PID && !e.Status.Stopped() {
					return
				}
				sys.Cont(e.TID, 0)
			}
			if time.Now().After(end) {
				t.Fatal("the end of its first thread is not told")
			}
		}
	})
}

// TestDistributeAgain: what was distributed and is so no more has nothing of ours in
// it, and can be distributed anew.
func TestDistributeAgain(t *testing.T) {
	onTracer(t, func(tr *Tracer) {
		p := start(t, tr, "nothing")
		defer reap(t, p)
		for range 2 {
			if err := p.PutAgent(p.PID); err != nil {
				t.Fatal(err)
			}
			if pid, err := p.Call(p.PID, sys.SYS_GETPID); err != nil || int(pid) != p.PID {
				t.Fatalf("a call by the agent: %d, %v", pid, err)
			}
			if err := p.EndDistribution(p.PID); err != nil {
				t.Fatal(err)
			}
			if m, ok, err := p.MappingAt(AgentBase); ok || err != nil {
				t.Errorf("left: %v, %v", m, err)
			}
		}
	})
}
