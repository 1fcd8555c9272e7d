package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	// spared: the job goes on when nothing of the program was there.
	spared bool
}{
	{name: "guest", pids: func(p parts) []int { return []int{p.PID} }, code: 128 + int(syscall.SIGKILL), silent: true},
	{name: "stub", pids: func(p parts) []int { return []int{at(p.Stubs, 1)} }, code: 125, spared: true},
	{name: "home-supervisor", pids: func(p parts) []int { return []int{at(p.Supervisors, 0)} }, code: 125},
	{name: "remote-supervisor", pids: func(p parts) []int { return []int{at(p.Supervisors, 1)} }, code: 125, spared: true},
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
				// Every other time it is killed while the job comes to be, too.
				early := victim.spared && i%2 == 1
				job := startRecords(t, v, early)
				p := job.partsWhen(func(p parts) bool {
					return !slices.Contains(victim.pids(p), 0) && (early || !victim.spared || job.writesAway(p))
				})
				time.Sleep(delay) // the random moment
				for _, pid := range victim.pids(p) {
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !(early && err == syscall.ESRCH) {
						t.Errorf("kill %s %d: %v", victim.name, pid, err)
					}
				}
				if victim.files {
					removeFiles(t, job)
				}
				afterKill(t, job, fmt.Sprintf("%s, %s, after %v", victim.name, v.name, delay), victim.code, victim.silent, early)
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
		job := startRecords(t, spread2, false)
		time.Sleep(delay) // the random moment
		job.cmd.Process.Kill()
		afterKill(t, job, fmt.Sprintf("run, after %v", delay), 128+int(syscall.SIGKILL), true, false)
	}
}

// few is how many records a program writes that may go on when a node is lost;
// others never end.
const few = 1000

func startRecords(t *testing.T, v variant, mayGoOn bool) *running {
	t.Helper()
	n := 100_000_000
	if mayGoOn {
		n = few
	}
	v.env = append(slices.Clone(v.env), "POPCORN_TEST_TROUBLE=1")
	return start(t, command{path: guest(t, "records"), args: []string{strconv.Itoa(n)}}, v)
}

// writesAway tells whether the writer that lives at node 1 does.
func (r *running) writesAway(p parts) bool {
	fi, err := os.Stat(filepath.Join(r.dir, "records"))
	return err == nil && fi.Size() > 0 && slices.ContainsFunc(p.Threads, func(t threadAt) bool { return t.Node == 1 })
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

// afterKill checks what must hold once a process of the job was killed. One that
// may go on writes few records.
func afterKill(t *testing.T, job *running, what string, code int, silent, mayGoOn bool) {
	t.Helper()
	killed := time.Now()
	patience := recoveryTime
	if mayGoOn {
		patience = job.deadline
	}
	select {
	case <-job.done:
	case <-time.After(patience):
		t.Errorf("%s: still running %v after the kill\n%s", what, patience, job.diagnosis())
		job.kill()
		<-job.done
		return
	}
	took := time.Since(killed)
	got := exitCode(job.cmd.ProcessState)
	wentOn := mayGoOn && got == 0
	if !wentOn && took > recoveryTime {
		t.Errorf("%s: ended only after %v", what, took)
	}
	job.nothingLeft(recoveryTime)
	if got != code && !wentOn {
		t.Errorf("%s: exit code %d, expected %d\n%s", what, got, code, job.printed())
	}
	if stderr := job.read(job.stderr.Name()); !silent && !wentOn && !bytes.Contains(stderr, []byte("popcorn: ")) {
		t.Errorf("%s: no message; stderr: %s", what, tail(stderr))
	}
	data, err := os.ReadFile(filepath.Join(job.dir, "records"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if wentOn && len(data) != 64*few {
		t.Errorf("%s: %d bytes, want %d records of 64", what, len(data), few)
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
