package test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"popcorn/test/lab"
)

// schedule is a cluster on which programs run while one thing after another
// goes wrong, by chance.
type schedule struct {
	*cluster
	*rand.Rand
	program string // records, on the first host
}

// trouble is a thing that goes wrong.
type trouble struct {
	name string
	// cause does it, for a time d if it is of a kind that passes, and undoes it.
	cause func(s *schedule, r *round, d time.Duration)
	// harmless trouble must not be noticed by the program.
	harmless bool
}

// round is one program and what happened to it.
type round struct {
	job     *away
	flags   []string
	records int
	what    string // happened, in words
	// killed says that a process was killed whose end is the job's, so that there
	// may be no message of ours.
	killed bool
	// off says that the host where the program was started was switched off.
	off bool
}

var troubles = []trouble{
	{name: "kill", cause: (*schedule).killProcess},
	{name: "stop", cause: (*schedule).stopProcess},
	{name: "freeze", cause: (*schedule).freezeHost},
	{name: "cut", cause: (*schedule).cut},
	{name: "cut one way", cause: (*schedule).cutOneWay},
	{name: "unplug", cause: (*schedule).unplug},
	{name: "reset", cause: (*schedule).reset, harmless: true},
	{name: "late", cause: (*schedule).late, harmless: true},
	{name: "lossy", cause: (*schedule).lossy, harmless: true},
	{name: "reboot", cause: (*schedule).reboot},
	{name: "daemon", cause: (*schedule).killDaemon, harmless: true},
	{name: "full disk", cause: (*schedule).fillDisk, harmless: true},
}

// TestSchedule: whatever goes wrong at whatever moment, a program gives the right
// output or its job ends with a reason and in time; what it wrote until then is
// right, and nothing of it is left on any host.
func TestSchedule(t *testing.T) {
	s := &schedule{cluster: newCluster(t, 3), Rand: random(t)}
	s.program = s.put(guest(t, "records"))
	troubles := slices.Clone(troubles)
	if !lab.CanImpair() {
		t.Log("without late and lost packets: no /dev/net/tun")
		troubles = slices.DeleteFunc(troubles, func(x trouble) bool { return x.name == "late" || x.name == "lossy" })
	}
	// Each kind in turn: a short test has seen all of them.
	for i := range [...]int{len(troubles), 50, 500}[min(soak(), 2)] {
		s.round(t, troubles[i%len(troubles)])
		if t.Failed() {
			return
		}
	}
}

// round runs one program through one trouble.
func (s *schedule) round(t *testing.T, what trouble) {
	r := &round{records: 1 + s.IntN(1000), what: what.name}
	r.flags = []string{"-H", "b,c", "--spread", "--loss-timeout", lossTimeout.String()}
	if s.IntN(3) == 0 {
		r.flags = append(r.flags[:2:2], "--on", "2", "--loss-timeout", lossTimeout.String())
	}
	if what.name == "full disk" {
		s.hand("sh", "-c", "mkdir -p $0 && { grep -q \" $0 \" /proc/mounts || mount -t tmpfs -o size=64m small $0; }", smallDisk)
		r.flags = slices.Insert(r.flags, 2, "--log", smallDisk+"/log", "--checkpoint", smallDisk+"/image", "--checkpoint-every", "100ms")
	}
	r.job = s.run(r.flags, "/usr/bin/env", "POPCORN_TEST_TROUBLE=1", s.program, fmt.Sprint(r.records))
	moment, d := s.moment(), s.duration()
	time.Sleep(moment) // the random moment
	what.cause(s, r, d)
	code, out, errs := s.end(r.job, d+s.patience())
	t.Logf("%s; %v after %v for %v: exit code %d", strings.Join(r.flags[2:len(r.flags)-2], " "), r.what, moment, d, code)
	s.judge(t, r, what.harmless, code, out, errs)
	s.tidy()
}

// moment is before, while or after the job spreads. In a tenth of the time much
// happens: half of the moments are there.
func (s *schedule) moment() time.Duration {
	most := 1500
	if s.IntN(2) == 0 {
		most /= 10
	}
	return time.Duration(s.IntN(most)) * time.Millisecond
}

// duration is from a tenth of a second up; each order of magnitude is as likely.
func (s *schedule) duration() time.Duration {
	least, most := 100*time.Millisecond, full(3*time.Second, time.Minute)
	ratio := float64(most) / float64(least)
	return time.Duration(float64(least) * math.Pow(ratio, s.Float64())).Round(time.Millisecond)
}

// patience is what a program may take with no trouble, and a job for its end.
func (s *schedule) patience() time.Duration { return lossOver + time.Minute }

// judge says whether the program's end is one of those it may have.
func (s *schedule) judge(t *testing.T, r *round, harmless bool, code int, out, errs string) {
	t.Helper()
	if r.off {
		return
	}
	right := code == 0 && strings.HasSuffix(out, "EXIT-SUCCESS\n")
	failed := code == 125 && strings.Contains(errs, "popcorn: ")
	killed := r.killed && code == 128+int(syscall.SIGKILL)
	if !(right || killed || failed && !harmless) {
		t.Errorf("%s: exit code %d\n%s%s", r.what, code, out, tail([]byte(errs)))
	}
	data, err := s.lab.Host("a").ReadFile(r.job.dir + "/records")
	if err != nil && right {
		t.Error(err)
	}
	if right && len(data) != 64*r.records {
		t.Errorf("%s: %d bytes, want %d records of 64", r.what, len(data), r.records)
	}
	if at := firstDifference(expectedRecords(len(data)/64 + 1)[:len(data)], data); at >= 0 {
		t.Errorf("%s: wrong byte %d of %d in the file: %s", r.what, at, len(data), around(data, at))
	}
}

// tidy makes the cluster whole again, and waits until nothing of the job is left.
func (s *schedule) tidy() {
	for _, h := range s.lab.Hosts() {
		s.check(h.PowerOn())
		if !s.serving(h) { // it was killed, or went down with its host
			s.daemons[h.Name].Wait()
			s.serve(h, "node", "serve")
		}
	}
	for _, h := range s.lab.Hosts() {
		s.onlyDaemons(h)
		s.sees(h)
	}
	s.program = s.put(guest(s.t, "records")) // its host may have been off
}

// sees waits until a host's daemon has heard of all others again: until then it
// starts nothing there.
func (s *schedule) sees(h *lab.Host) {
	for end := time.Now().Add(clusterPatience); ; {
		out, err := s.popcorn(h, "node", "ls")
		if err == nil && !slices.ContainsFunc([]string{"silent", "suspect", "unreachable"}, func(state string) bool { return strings.Contains(out, state) }) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s does not see all nodes: %v\n%s", h.Name, err, out)
		}
	}
}

// host is any; remote any but the first.
func (s *schedule) host() *lab.Host   { return s.lab.Hosts()[s.IntN(3)] }
func (s *schedule) remote() *lab.Host { return s.lab.Hosts()[1+s.IntN(2)] }

// two are two hosts.
func (s *schedule) two() (a, b *lab.Host) {
	order := s.Perm(3)
	return s.lab.Hosts()[order[0]], s.lab.Hosts()[order[1]]
}

// process is any process of the job on any host, none when there is none yet.
func (s *schedule) process(r *round) (*lab.Host, lab.Process) {
	h := s.host()
	list, err := h.Processes()
	if err != nil {
		s.t.Fatal(err)
	}
	var of []lab.Process
	for _, p := range list {
		if p.PID != 1 && p.State != "Z" && p.PID != s.daemons[h.Name].PID {
			of = append(of, p)
		}
	}
	if len(of) == 0 {
		return h, lab.Process{}
	}
	p := of[s.IntN(len(of))]
	r.what = fmt.Sprintf("%s of process %d (%s) of %s", r.what, p.PID, p.Name, h.Name)
	return h, p
}

func (s *schedule) killProcess(r *round, _ time.Duration) {
	h, p := s.process(r)
	if p.PID == 0 {
		return
	}
	// On the first host are run, the program, and what they started.
	r.killed = h.Name == "a" && (p.PID == r.job.PID || p.Name != "popcorn")
	h.Kill(p.PID, syscall.SIGKILL) // it may have ended meanwhile
}

func (s *schedule) stopProcess(r *round, d time.Duration) {
	h, p := s.process(r)
	if p.PID == 0 {
		return
	}
	h.Kill(p.PID, syscall.SIGSTOP) // it may have ended meanwhile
	time.Sleep(d)
	h.Kill(p.PID, syscall.SIGCONT)
}

func (s *schedule) freezeHost(r *round, d time.Duration) {
	h := s.host()
	r.what += " of " + h.Name
	s.check(h.Freeze())
	time.Sleep(d)
	s.check(h.Thaw())
}

func (s *schedule) cut(r *round, d time.Duration) {
	a, b := s.two()
	r.what += " between " + a.Name + " and " + b.Name
	s.lab.Cut(a, b)
	time.Sleep(d)
	s.lab.Heal(a, b)
}

func (s *schedule) cutOneWay(r *round, d time.Duration) {
	a, b := s.two()
	r.what += " from " + a.Name + " to " + b.Name
	s.lab.CutOneWay(a, b)
	time.Sleep(d)
	s.lab.Heal(a, b)
}

func (s *schedule) unplug(r *round, d time.Duration) {
	h := s.remote()
	r.what += " of " + h.Name
	h.Unplug()
	time.Sleep(d)
	h.Plug()
}

func (s *schedule) reset(r *round, _ time.Duration) {
	if !s.begun(r) { // hosts that are asked for a deputy must be reached at once
		return
	}
	a, b := s.two()
	r.what += fmt.Sprintf(" of %d connections between %s and %s", s.lab.Reset(a, b), a.Name, b.Name)
}

func (s *schedule) late(r *round, d time.Duration) {
	a, b := s.two()
	r.what += " packets between " + a.Name + " and " + b.Name
	s.lab.Impair(a, b, 200*time.Millisecond, 0)
	time.Sleep(d)
	s.lab.Heal(a, b)
}

func (s *schedule) lossy(r *round, d time.Duration) {
	a, b := s.two()
	r.what += " between " + a.Name + " and " + b.Name
	s.lab.Impair(a, b, 0, 0.01)
	time.Sleep(d)
	s.lab.Heal(a, b)
}

func (s *schedule) reboot(r *round, d time.Duration) {
	h := s.host()
	r.what += " of " + h.Name
	r.off = h.Name == "a"
	s.check(h.PowerOff())
	time.Sleep(d)
}

// smallDisk is where a job that runs out of room is saved, and has its log.
const smallDisk = "/tmp/small"

// hand runs a command on the first host.
func (s *schedule) hand(argv ...string) {
	s.t.Helper()
	h := s.lab.Host("a")
	if code, out, errs := s.end(s.start(h, nil, argv...), s.patience()); code != 0 {
		s.t.Fatalf("%v on %s: exit code %d\n%s%s", argv, h.Name, code, out, errs)
	}
}

// fillDisk leaves no room for checkpoints and the log: the program goes on without.
func (s *schedule) fillDisk(r *round, d time.Duration) {
	s.hand("sh", "-c", "cat /dev/zero > "+smallDisk+"/filler 2>/dev/null; test -s "+smallDisk+"/filler")
	time.Sleep(d)
	s.hand("rm", smallDisk+"/filler")
}

// killDaemon does so once the job is there: starting one needs daemons.
func (s *schedule) killDaemon(r *round, _ time.Duration) {
	if !s.begun(r) {
		return
	}
	h := s.host()
	r.what += " of " + h.Name
	s.check(h.Kill(s.daemons[h.Name].PID, syscall.SIGKILL))
	s.daemons[h.Name].Wait() // its error is the signal
	s.serve(h, "node", "serve")
}

// begun waits until the program runs; false when it has ended.
func (s *schedule) begun(r *round) bool {
	for end := time.Now().Add(s.patience()); ; {
		out, err := s.popcorn(s.lab.Host("a"), "ps", "-q")
		s.check(err)
		if time.Now().After(end) {
			s.t.Fatalf("%v neither runs nor has ended", r.job.Cmd.Args)
		}
		if out != "" {
			return true
		}
		list, err := s.lab.Host("a").Processes()
		s.check(err)
		if !slices.ContainsFunc(list, func(p lab.Process) bool { return p.PID == r.job.PID }) {
			return false
		}
	}
}

func (s *schedule) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
