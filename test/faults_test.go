package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRecords: the program of the fault tests writes natively, and spread over
// nodes, exactly what expectedRecords says.
func TestRecords(t *testing.T) {
	for _, v := range []variant{native, spread2, spread3} {
		t.Run(v.name, func(t *testing.T) {
			if v.nodes > 0 {
				skipGap(t, "records", v)
			}
			o := run(t, command{path: guest(t, "records"), args: []string{"200"}, collect: []string{"records"}}, v)
			checkPromise(t, guestSource{}, o)
			if !bytes.Equal(o.files["records"], expectedRecords(200)) {
				t.Errorf("wrong records:\n%s", tail(o.files["records"]))
			}
		})
	}
}

// recoveryTime is how long a job may take to be gone after one of its
// processes was killed.
const recoveryTime = 5 * time.Second

// victims are the processes of a job, by name.
var victims = []struct {
	name string
	pids func(p parts) []int
	// code is the exit code.
	code int
	// silent: nobody is left who could say anything, or the code says it.
	silent bool
	// files may be left, for the next command to remove: who would have done it
	// is dead.
	files bool
}{
	{name: "guest", pids: func(p parts) []int { return []int{p.PID} }, code: 128 + int(syscall.SIGKILL), silent: true},
	{name: "stub", pids: func(p parts) []int { return []int{at(p.Stubs, 1)} }, code: 125},
	{name: "home-supervisor", pids: func(p parts) []int { return []int{at(p.Supervisors, 0)} }, code: 125},
	{name: "remote-supervisor", pids: func(p parts) []int { return []int{at(p.Supervisors, 1)} }, code: 125},
	{name: "run", pids: func(p parts) []int { return []int{p.RunPID} }, code: 128 + int(syscall.SIGKILL), silent: true},
	{name: "run-and-supervisors", pids: func(p parts) []int {
		return []int{p.RunPID, at(p.Supervisors, 0), at(p.Supervisors, 1)}
	}, code: 128 + int(syscall.SIGKILL), silent: true, files: true},
}

// at is the process of a node, 0 when there is none.
func at(list []nodePID, nid int) int {
	for _, n := range list {
		if n.NID == nid {
			return n.PID
		}
	}
	return 0
}

// TestFaults kills each process of a job at random moments. Within seconds
// there is a message and an exit code, nothing is left, and no wrong byte
// reached the file.
func TestFaults(t *testing.T) {
	r := random(t)
	times := [...]int{3, 50, 500}[min(soak(), 2)]
	for _, victim := range victims {
		t.Run(victim.name, func(t *testing.T) {
			skipGap(t, "faults", variant{name: victim.name})
			for i := range times {
				v := []variant{allAway, spread2, spread3}[i%3]
				delay := time.Duration(r.IntN(400_000)) * time.Microsecond
				job := start(t, command{path: guest(t, "records"), args: []string{"100000000"}}, v)
				p := job.partsWhen(func(p parts) bool { return !slices.Contains(victim.pids(p), 0) })
				time.Sleep(delay) // the random moment
				for _, pid := range victim.pids(p) {
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						t.Errorf("kill %s %d: %v", victim.name, pid, err)
					}
				}
				if victim.files {
					removeFiles(t, job)
				}
				afterKill(t, job, fmt.Sprintf("%s, %s, after %v", victim.name, v.name, delay), victim.code, victim.silent)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestFaultsAtStart kills `popcorn run` before and while the job comes to be.
func TestFaultsAtStart(t *testing.T) {
	r := random(t)
	for range [...]int{5, 50, 500}[min(soak(), 2)] {
		delay := time.Duration(r.IntN(80_000)) * time.Microsecond
		job := start(t, command{path: guest(t, "records"), args: []string{"100000000"}}, spread2)
		time.Sleep(delay) // the random moment
		job.cmd.Process.Kill()
		afterKill(t, job, fmt.Sprintf("run, after %v", delay), 128+int(syscall.SIGKILL), true)
	}
}

// removeFiles has the files of a job removed of which nothing is left. A process
// that dies still answers at its socket after it has left the list of processes.
func removeFiles(t *testing.T, job *running) {
	t.Helper()
	for end := time.Now().Add(recoveryTime); len(job.processes())+len(job.files()) > 0 && time.Now().Before(end); {
		if out, err := job.popcorn(recoveryTime, "ps"); err != nil {
			t.Errorf("popcorn ps: %v: %s", err, out)
		}
	}
}

// afterKill checks what must hold once a process of the job was killed.
func afterKill(t *testing.T, job *running, what string, code int, silent bool) {
	t.Helper()
	killed := time.Now()
	select {
	case <-job.done:
	case <-time.After(recoveryTime):
		t.Errorf("%s: still running %v after the kill\n%s", what, recoveryTime, job.diagnosis())
		job.kill()
		<-job.done
		return
	}
	job.nothingLeft(recoveryTime - time.Since(killed))
	got := exitCode(job.cmd.ProcessState)
	if got != code {
		t.Errorf("%s: exit code %d, expected %d\n%s", what, got, code, job.printed())
	}
	if stderr := job.read(job.stderr.Name()); !silent && !bytes.Contains(stderr, []byte("popcorn: ")) {
		t.Errorf("%s: no message; stderr: %s", what, tail(stderr))
	}
	data, err := os.ReadFile(filepath.Join(job.dir, "records"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if at := firstDifference(expectedRecords(len(data)/64 + 1)[:len(data)], data); at >= 0 {
		t.Errorf("%s: wrong byte %d of %d in the file: %s", what, at, len(data), around(data, at))
	}
}

// expectedRecords is what guests/records.c writes, from the same rule.
func expectedRecords(n int) []byte {
	var state [512]uint64
	b := make([]byte, 0, n*64)
	for i := range uint64(n) {
		sum := i
		for w := range state {
			state[w] = state[w]*6364136223846793005 + i + uint64(w)
			sum = (sum ^ state[w]) * 1099511628211
		}
		b = fmt.Appendf(b, "record %012d sum %016x %22s\n", i, sum, "")
	}
	return b
}
