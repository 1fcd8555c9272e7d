package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is a real program, to be run whole.
type program struct {
	name string
	command
	exit int
	// threaded says that it computes in several threads: spread out, every
	// node must have had guest CPU time.
	threaded bool
}

// realPrograms are programs of the distribution with their arguments: small
// every day, in full in a soak.
func realPrograms(t *testing.T) []program {
	t.Helper()
	mixed := mixedData(full(2<<20, 64<<20))
	in := writeFile(t, "mixed", mixed)
	xzIn := writeFile(t, "mixed.xz", must(exec.Command("xz", "-T2", "-0", "-c", "--block-size=256KiB", in).Output()))
	pigzIn := writeFile(t, "mixed.gz", must(exec.Command("pigz", "-1", "-nT", "-c", in).Output()))
	text := writeFile(t, "text", textLines(full(300_000, 600_000)))
	rows := full(5000, 100_000)
	sql := writeFile(t, "build.sql", []byte(sqlScript(rows)))
	shell := `for i in 1 2 3; do (echo "sub $i"; seq $i 100 | sort -rn | head -2) ; done | cat -n
		x=$(echo deep | (read a; echo "$a$(echo er)")); echo "$x"; seq 1000 | wc -l; (exit 5); echo $?; false || exit 4`
	py := func(script string, args ...string) command {
		return command{path: "/usr/bin/python3", args: append([]string{filepath.Join(repo, "test/scripts", script)}, args...)}
	}
	shim := writeFile(t, "python3", []byte("#!/bin/sh\nset -e\nexec env /usr/bin/python3 \"$@\"\n"))
	if err := os.Chmod(shim, 0o755); err != nil {
		t.Fatal(err)
	}
	shimmed := py("hashqueue.py", "10", "50000")
	shimmed.path = shim
	list := []program{
		{name: "xz", command: command{path: "xz", args: []string{"-T4", full("-1", "-6"), "--block-size=512KiB", "-c", in}}, threaded: true},
		{name: "xz-d", command: command{path: "xz", args: []string{"-dT4", "-c", xzIn}}, threaded: true},
		{name: "pigz", command: command{path: "pigz", args: []string{"-p4", "-nT", "-c", in}}, threaded: true},
		{name: "pigz-stream", command: command{path: "pigz", args: []string{"-p4", "-nT"}, stdin: in, piped: true}, threaded: true},
		{name: "pigz-d", command: command{path: "pigz", args: []string{"-dc", pigzIn}}},
		{name: "python-hashqueue", command: py("hashqueue.py", full("40", "200"), "50000"), threaded: true},
		{name: "python-shim", command: shimmed, threaded: true},
		{name: "python-pool", command: py("pool.py", full("40", "200")), threaded: true},
		{name: "python-raising", command: py("raising.py"), exit: 1},
		{name: "python-osexit", command: py("osexit.py"), exit: 3},
		{name: "python-children", command: py("children.py")},
		{name: "perl", command: command{path: "perl", args: []string{filepath.Join(repo, "test/scripts/words.pl"), full("20000", "2000000")}}, exit: 6},
		{name: "sqlite3", command: command{path: "sqlite3", args: []string{"data.db"}, stdin: sql, collect: []string{"data.db"}}},
		{name: "bash", command: command{path: "bash", args: []string{"-c", shell}}, exit: 4},
		{name: "sort", command: command{path: "sort", args: []string{"--parallel=4", "-S", "64M", text}}, threaded: true},
		{name: "sort-spill", command: command{path: "sort", args: []string{"--parallel=2", "-S", "1M", "-T", ".", text}}},
	}
	// Compiled as a user would; the Go program's run time has threads of its own.
	for _, file := range []string{"guests/omp_sum.c", "guests/omp_dynamic.c", "guests/go_busy/main.go"} {
		g := readGuest(t, file)
		list = append(list, program{name: g.name, command: command{path: g.build(t), args: g.args()}, threaded: soak() > 0})
	}
	for i := range list {
		p := &list[i]
		p.deadline = full(90*time.Second, 20*time.Minute)
		p.stderrToo = true
		path, err := exec.LookPath(p.path)
		if err != nil {
			t.Fatalf("%s is not installed: %v", p.path, err)
		}
		p.path = path
	}
	return list
}

// TestPrograms: whole real programs give natively, away, and spread over two
// and three nodes the same output, byte for byte, and the same exit code.
func TestPrograms(t *testing.T) {
	for _, p := range realPrograms(t) {
		t.Run(p.name, func(t *testing.T) {
			want := run(t, p.command, native)
			if want.code != p.exit {
				t.Fatalf("natively: exit code %d, expected %d\n%s", want.code, p.exit, tail(want.stderr))
			}
			for _, v := range []variant{allAway, spread2, spread3} {
				t.Run(v.name, func(t *testing.T) {
					skipGap(t, p.name, v)
					for range full(1, 20) {
						got := run(t, p.command, v)
						compare(t, p.command, want, got)
						if p.threaded && v.name != allAway.name {
							everyNodeWorked(t, got.stats, v.nodes)
						}
					}
				})
			}
		})
	}
}

// everyNodeWorked checks in the statistics that guest code ran on each node.
func everyNodeWorked(t *testing.T, stats []byte, nodes int) {
	t.Helper()
	var s struct {
		Nodes []struct {
			NID        int     `json:"nid"`
			CPUSeconds float64 `json:"cpu_seconds"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(stats, &s); err != nil {
		t.Errorf("read statistics: %v\n%s", err, tail(stats))
		return
	}
	if len(s.Nodes) != nodes {
		t.Errorf("statistics of %d nodes, expected %d", len(s.Nodes), nodes)
	}
	for _, n := range s.Nodes {
		if n.CPUSeconds <= 0 {
			t.Errorf("node %d: no guest CPU time", n.NID)
		}
	}
}

// mixedData is n bytes of what files are made of: text, noise, zeros, and
// repetitions from far back. Always the same ones.
func mixedData(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, n+1<<16)
	for len(b) < n {
		size := 1000 + r.IntN(30_000)
		switch kind := r.IntN(4); {
		case kind == 0:
			for range size {
				b = append(b, byte(r.Uint32()))
			}
		case kind == 1:
			b = append(b, make([]byte, size)...)
		case kind == 2 && len(b) > size:
			from := r.IntN(len(b) - size)
			b = append(b, b[from:from+size]...)
		default:
			for len := size / 8; len > 0; len-- {
				b = fmt.Appendf(b, "%d word ", r.IntN(5000))
			}
		}
	}
	return b[:n]
}

// textLines is n lines to be sorted.
func textLines(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b []byte
	for range n {
		b = fmt.Appendf(b, "%x line of %d\n", r.Uint32()>>uint(r.IntN(20)), r.IntN(100))
	}
	return b
}

// sqlScript builds a database of n rows, changes it, and asks.
func sqlScript(n int) string {
	return strings.NewReplacer("$N", fmt.Sprint(n)).Replace(`
CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v TEXT);
BEGIN;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $N)
INSERT INTO t SELECT i, i * 7919 % 1000, printf('row %d of %d', i, $N) FROM c;
COMMIT;
CREATE INDEX t_k ON t(k);
UPDATE t SET v = v || ' changed' WHERE k % 10 = 3;
DELETE FROM t WHERE k % 10 = 4;
SELECT count(*), sum(k), max(v) FROM t;
SELECT k, count(*) FROM t GROUP BY k ORDER BY 2 DESC, 1 LIMIT 5;
SELECT a.id, b.v FROM t a JOIN t b ON a.k = b.k AND a.id + 1000 = b.id ORDER BY 1 LIMIT 5;
PRAGMA integrity_check;
`)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// writeFile makes an input all runs of a test share.
func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOrphan: a child that outlives the program goes on as if it had never been
// near us, and nothing of ours outlives the child.
func TestOrphan(t *testing.T) {
	const script = `(while kill -0 $$; do sleep 0.05; done 2>/dev/null
		(seq 3 | sort -rn) >part; mv part orphan) & echo started`
	for _, v := range []variant{native, allAway} {
		t.Run(v.name, func(t *testing.T) {
			r := start(t, command{path: "/bin/bash", args: []string{"-c", script}}, v)
			select {
			case <-r.done:
			case <-time.After(r.deadline):
				r.kill()
				t.Fatalf("still running after %v\n%s", r.deadline, r.printed())
			}
			file := filepath.Join(r.dir, "orphan")
			for end := time.Now().Add(r.deadline); len(r.read(file)) == 0 && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond) // nothing signals what a stranger does
			}
			if got := string(r.read(file)); got != "3\n2\n1\n" {
				t.Errorf("the child wrote %q\n%s", got, r.printed())
			}
			r.nothingLeft(5 * time.Second)
		})
	}
}
