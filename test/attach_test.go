package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// found is a program that is started without popcorn and then attached to.
type found struct {
	name string
	// argv is looked up in PATH; empty for the guest of that name.
	argv []string
	// script is a file of that name and content that argv may mention.
	script, text string
	// ready is the first word it prints when it has begun; empty: it prints nothing.
	ready string
	// in is the number of the system call it waits in when it has begun; 0: it may
	// do anything.
	in int
	// steady: it makes and drops no memory, so its mappings can be compared.
	steady bool
	// load keeps it busy until the end of stop, and says what went wrong.
	load func(printed string, stop <-chan struct{}) error
	// end is the signal that ends it, and code its exit code then.
	end  syscall.Signal
	code int
	// says is what it must have printed when it has ended.
	says string
}

const pythonText = `
import threading, signal, hashlib, time, sqlite3
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *a: stop.set())
turns = [0] * 4
def work(i):
    db = sqlite3.connect(":memory:")
    db.execute("create table t (k integer primary key, v text)")
    while not stop.is_set():
        db.executemany("insert or replace into t values (?, ?)", [(k, str(k * i)) for k in range(100)])
        assert db.execute("select sum(v) from t").fetchone()[0] == 4950 * i
        hashlib.sha256(bytes(10000)).hexdigest()
        turns[i] += 1
        time.sleep(0.001)
ts = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in ts]
print("ready", flush=True)
while not stop.wait(0.02): pass
[t.join() for t in ts]
assert all(turns)
print("EXIT-SUCCESS")
`

const perlText = `
$| = 1; my ($over, $i) = (0, 0);
$SIG{TERM} = sub { $over = 1 };
print "ready\n";
while (!$over) { my %h = map { $_ => $_ * $i } 1 .. 500; $h{7} == 7 * $i or die; $i++; select undef, undef, undef, 0.002; }
print "EXIT-SUCCESS\n" if $i;
`

// bash forks, pipes, execs and waits all the time.
const bashText = `
over=0; trap 'over=1' TERM; echo ready; i=0
while [ $over = 0 ]; do i=$((i+1)); v=$(echo $i | cat); [ "$v" = $i ] || [ $over = 1 ] || exit 3; done
echo EXIT-SUCCESS
`

const nodeText = `
let over = false, n = 0;
process.on('SIGTERM', () => { over = true; });
console.log('ready');
function turn() {
  const a = []; for (let i = 0; i < 1000; i++) a.push({ i, s: String(i * n) });
  if (a[7].s !== String(7 * n)) process.exit(3);
  n++;
  if (over) { console.log('EXIT-SUCCESS'); return; }
  setTimeout(turn, 2);
}
turn();
`

// java catches the signal, and ends with 128 and its number.
const javaText = `
import java.util.*;
import java.util.concurrent.*;

public class P {
	static int turn(int k) {
		Map<Integer, String> m = new HashMap<>();
		for (int j = 0; j < 500; j++) m.put(j, "" + j * k);
		return Integer.parseInt(m.get(7));
	}
	public static void main(String[] args) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(3);
		System.out.println("ready");
		for (;; Thread.sleep(1)) {
			List<Future<Integer>> all = new ArrayList<>();
			for (int i = 0; i < 6; i++) { final int k = i; all.add(pool.submit(() -> turn(k))); }
			for (int i = 0; i < 6; i++) if (all.get(i).get() != 7 * i) Runtime.getRuntime().halt(3);
		}
	}
}
`

var foundPrograms = []found{
	{name: "attach_mix", ready: "ready", steady: true, end: syscall.SIGTERM, says: "EXIT-SUCCESS"},
	{name: "attach_server", ready: "ready", load: ask, end: syscall.SIGTERM, says: "EXIT-SUCCESS"},
	{name: "sleep", argv: []string{"sleep", "1000"}, in: syscall.SYS_CLOCK_NANOSLEEP, steady: true, end: syscall.SIGTERM, code: 143},
	{name: "tail", argv: []string{"tail", "-f", "tail.txt"}, script: "tail.txt", text: "ready\n", ready: "ready",
		steady: true, load: grow, end: syscall.SIGTERM, code: 143, says: "last line"},
	{name: "python", argv: []string{"python3", "p.py"}, script: "p.py", text: pythonText, ready: "ready",
		end: syscall.SIGTERM, says: "EXIT-SUCCESS"},
	{name: "perl", argv: []string{"perl", "p.pl"}, script: "p.pl", text: perlText, ready: "ready",
		end: syscall.SIGTERM, says: "EXIT-SUCCESS"},
	{name: "bash", argv: []string{"bash", "p.sh"}, script: "p.sh", text: bashText, ready: "ready",
		end: syscall.SIGTERM, says: "EXIT-SUCCESS"},
	{name: "cat", argv: []string{"cat", "fifo"}, in: syscall.SYS_OPENAT, steady: true, end: syscall.SIGTERM, code: 143},
	{name: "java", argv: []string{"java", "P.java"}, script: "P.java", text: javaText, ready: "ready",
		end: syscall.SIGTERM, code: 143, says: "ready"},
	{name: "node", argv: []string{"node", "p.js"}, script: "p.js", text: nodeText, ready: "ready",
		end: syscall.SIGTERM, says: "EXIT-SUCCESS"},
}

// ask has the server answer until stop, by several connections.
func ask(printed string, stop <-chan struct{}) error {
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(printed)
	client := http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		r, err := client.Get(fmt.Sprintf("http://%s/?n=%d", addr, n))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || string(body) != strconv.Itoa(n*n) {
			return fmt.Errorf("%d squared is %q, %v", n, body, err)
		}
	}
}

// grow lets the file that is followed grow; its path comes after what was printed.
func grow(printed string, stop <-chan struct{}) error {
	name := printed[strings.LastIndex(printed, "\n")+1:]
	f, err := os.OpenFile(filepath.Join(name, "tail.txt"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	<-stop
	_, err = f.WriteString("last line\n")
	return err
}

// begin starts the program natively and waits until it has begun.
func (f found) begin(t *testing.T) *running {
	t.Helper()
	c := command{deadline: full(60*time.Second, 10*time.Minute), files: map[string][]byte{}}
	switch {
	case len(f.argv) == 0 && f.name == "attach_server":
		c.path = readGuest(t, filepath.Join("guests", f.name, "main.go")).build(t)
	case len(f.argv) == 0:
		c.path = guest(t, f.name)
	default:
		path, err := exec.LookPath(f.argv[0])
		if err != nil {
			t.Skip(err)
		}
		c.path, c.args = path, f.argv[1:]
	}
	if f.script != "" {
		c.files[f.script] = []byte(f.text)
	}
	r := launch(t, c, native, func(r *running) {
		if slices.Contains(f.argv, "fifo") {
			if err := syscall.Mkfifo(filepath.Join(r.dir, "fifo"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	r.until("it begins", func() bool {
		return strings.HasPrefix(string(r.read(r.stdout.Name())), f.ready) && f.waits(r.cmd.Process.Pid)
	})
	return r
}

func (f found) waits(pid int) bool {
	return f.in == 0 || strings.HasPrefix(line(fmt.Sprintf("/proc/%d", pid), "syscall"), strconv.Itoa(f.in)+" ")
}

// until waits for a condition of this run's first process.
func (r *running) until(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(r.deadline); !f(); {
		if time.Now().After(end) {
			report := r.threads() + r.inspect(5*time.Second)
			r.kill()
			r.t.Fatalf("%s: waited in vain until %s\n%s\n%s", r.what, what, r.printed(), report)
		}
		select {
		case <-r.done:
			r.t.Fatalf("%s: ended before %s\n%s", r.what, what, r.printed())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// attachTo attaches to a program that runs and waits until it is a job.
func attachTo(t *testing.T, r *running, flags ...string) *running {
	t.Helper()
	pid := strconv.Itoa(r.cmd.Process.Pid)
	args := append([]string{"attach", "--nodes", "2"}, flags...)
	a := launch(t, command{path: popcornBin, args: append(args, pid), deadline: r.deadline}, native, func(a *running) {
		a.cmd.Args = slices.Insert(a.cmd.Args, 2, "--log", a.logFile())
		a.beside = r
	})
	a.until("it is a job", func() bool { _, err := a.popcorn(5*time.Second, "where", pid); return err == nil })
	return a
}

// look is what a person can see of a process that popcorn might leave behind in it.
func look(t *testing.T, pid int, steady bool) string {
	t.Helper()
	var b strings.Builder
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads", pid)
	}
	for _, task := range tasks {
		if steady {
			fmt.Fprintln(&b, "thread", filepath.Base(task))
		}
		names := []string{"TracerPid", "NoNewPrivs", "Seccomp"}
		if steady { // others, bash for one, change these all the time
			names = append(names, "SigBlk", "SigIgn", "SigCgt")
		}
		fmt.Fprintln(&b, pick(line(task, "status"), names...))
		if !steady {
			break
		}
	}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		to, _ := os.Readlink(fd)
		if steady || strings.HasPrefix(to, "anon_inode:[userfaultfd]") || strings.Contains(to, "popcorn") {
			fmt.Fprintln(&b, filepath.Base(fd), to)
		}
	}
	for l := range strings.Lines(line(fmt.Sprintf("/proc/%d", pid), "smaps")) {
		var start, end uint64
		n, _ := fmt.Sscanf(l, "%x-%x ", &start, &end)
		const agent, agentEnd = 0x6f0000000000, 0x700000000000
		switch flags := strings.HasPrefix(l, "VmFlags:"); {
		case steady && (n == 2 || flags),
			n == 2 && start < agentEnd && end > agent,
			flags && (strings.Contains(l, " um") || strings.Contains(l, " uw")): // userfaultfd
			b.WriteString(l)
		}
	}
	return b.String()
}

func pick(text string, names ...string) string {
	var kept []string
	for _, l := range strings.Split(text, "\n") {
		if name, _, _ := strings.Cut(l, ":"); slices.Contains(names, name) {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, " ")
}

// TestAttach finds programs running, moves all their threads out and back under
// load, and lets them go: nothing is lost, and nothing to be seen in them.
func TestAttach(t *testing.T) {
	for _, f := range foundPrograms {
		t.Run(f.name, func(t *testing.T) {
			r := f.begin(t)
			pid := r.cmd.Process.Pid
			stop, loaded := make(chan struct{}), make(chan error, 1)
			go func() {
				if f.load == nil {
					loaded <- nil
					return
				}
				loaded <- f.load(string(r.read(r.stdout.Name()))+"\n"+r.dir, stop)
			}()
			before := look(t, pid, f.steady)
			for range full(2, 4) { // what was let go can be attached to again
				f.outAndBack(t, r)
				if after := look(t, pid, f.steady); after != before {
					t.Errorf("a trace is left:\n%s", differing(before, after))
				}
			}
			close(stop)
			if err := <-loaded; err != nil {
				t.Errorf("under load: %v", err)
			}
			r.until("it has printed", func() bool {
				return f.code == 0 || strings.Contains(string(r.read(r.stdout.Name())), f.says)
			})
			syscall.Kill(pid, f.end)
			o := r.wait()
			if o.code != f.code || !strings.Contains(string(o.stdout), f.says) {
				t.Errorf("exit code %d, expected %d\nstdout: %s\nstderr: %s", o.code, f.code, tail(o.stdout), tail(o.stderr))
			}
		})
	}
}

// outAndBack attaches, moves the whole job out and home, and detaches while it is out.
func (f found) outAndBack(t *testing.T, r *running) {
	t.Helper()
	pid := strconv.Itoa(r.cmd.Process.Pid)
	a := attachTo(t, r)
	for range full(4, 20) {
		for _, node := range []string{"1", "home"} {
			if out, err := a.popcorn(30*time.Second, "migrate", pid, node); err != nil {
				t.Errorf("migrate %s %s: %v: %s\n%s", pid, node, err, out, a.printed())
			}
		}
	}
	for _, args := range [][]string{{"migrate", pid, "1"}, {"detach", pid}} {
		if out, err := a.popcorn(60*time.Second, args...); err != nil {
			t.Errorf("%v: %v: %s\n%s", args, err, out, a.printed())
		}
	}
	if o := a.wait(); o.code != 0 || !bytes.Contains(o.stderr, []byte("was let go")) {
		t.Errorf("attach ends with code %d: %s", o.code, o.stderr)
	}
}

// differing is the lines that are in one of two texts only.
func differing(a, b string) string {
	var out strings.Builder
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, l := range as {
		if !slices.Contains(bs, l) {
			fmt.Fprintln(&out, "-", l)
		}
	}
	for _, l := range bs {
		if !slices.Contains(as, l) {
			fmt.Fprintln(&out, "+", l)
		}
	}
	if out.Len() == 0 {
		return "the same lines, in another number or order"
	}
	return out.String()
}

// TestAttachAtWork attaches to programs in the middle of their work, moves them out and
// back until they are done or that was often enough, and lets go of who is left: what
// they print and how they end is as if nothing had been.
func TestAttachAtWork(t *testing.T) {
	in := writeFile(t, "mixed", mixedData(full(3<<20, 32<<20)))
	text := writeFile(t, "text", textLines(full(400_000, 2_000_000)))
	sql := writeFile(t, "build.sql", []byte(sqlScript(full(20_000, 200_000))))
	py := func(script string, args ...string) command {
		return command{path: "/usr/bin/python3", args: append([]string{filepath.Join(repo, "test/scripts", script)}, args...)}
	}
	moves := 0
	for name, c := range map[string]command{
		"xz":         {path: "xz", args: []string{"-T2", "-6", "--block-size=256KiB", "-c", in}},
		"gzip":       {path: "gzip", args: []string{"-9nc", in}},
		"sort":       {path: "sort", args: []string{"--parallel=2", "-S", "4M", "-T", ".", text}},
		"awk":        {path: "awk", args: []string{`{ n[$1 % 997] += length($0) } END { for (i = 0; i < 997; i++) print i, n[i] }`, text}},
		"sqlite3":    {path: "sqlite3", args: []string{"data.db"}, stdin: sql, collect: []string{"data.db"}},
		"perl":       {path: "perl", args: []string{filepath.Join(repo, "test/scripts/words.pl"), full("200000", "2000000")}},
		"hashqueue":  py("hashqueue.py", full("100", "600"), "50000"),
		"threadpool": py("pool.py", full("60", "400")),
		"children":   py("children.py"),
		"tar":        {path: "tar", args: []string{"-C", repo, "--sort=name", "-c", "internal", "test/scripts", "docs"}},
	} {
		c.deadline = full(90*time.Second, 10*time.Minute)
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(c.path); err != nil {
				t.Fatal(err)
			}
			want := run(t, c, native)
			for range full(1, 5) {
				r := start(t, c, native)
				n := attachWhile(t, r)
				got := r.wait()
				compare(t, c, want, got)
				t.Logf("%d moves", n)
				moves += n
			}
		})
	}
	if moves == 0 { // one may be too quick for it, all are not
		t.Error("nothing was moved")
	}
}

// attachWhile attaches to a program that may end at any moment, and moves it.
func attachWhile(t *testing.T, r *running) (moves int) {
	t.Helper()
	pid := strconv.Itoa(r.cmd.Process.Pid)
	a := launch(t, command{path: popcornBin, args: []string{"attach", "--nodes", "2", pid}, deadline: r.deadline}, native, func(a *running) {
		a.cmd.Args = slices.Insert(a.cmd.Args, 2, "--log", a.logFile())
		a.beside = r
	})
	over := func() bool {
		select {
		case <-r.done:
			return true
		case <-a.done:
			return true
		default:
			return false
		}
	}
	for most := full(10, 100); moves < most && !over(); {
		node := strconv.Itoa((moves + 1) % 2)
		if _, err := a.popcorn(30*time.Second, "migrate", pid, node); err == nil { // else it is no job yet, or none any more
			moves++
		}
	}
	if !over() {
		a.popcorn(60*time.Second, "detach", pid) // it may just be ending
	}
	if o := a.wait(); o.code != 0 && o.code != 3 { // 3: it had ended before
		t.Errorf("attach ends with code %d: %s", o.code, o.stderr)
	}
	return moves
}
