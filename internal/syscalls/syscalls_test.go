package syscalls

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTableIsContiguous(t *testing.T) {
	want := 0
	seen := map[string]int{}
	for _, e := range table {
		switch want {
		case 337:
			want = 424 // never assigned between
		case 471:
			want = Migrate
		}
		if e.Nr != want {
			t.Fatalf("after number %d comes %d (%s)", want-1, e.Nr, e.Name)
		}
		want++
		if other, dup := seen[e.Name]; dup {
			t.Errorf("%s is both %d and %d", e.Name, other, e.Nr)
		}
		seen[e.Name] = e.Nr
	}
	if want != tableEnd {
		t.Errorf("table ends at %d, want %d", want-1, tableEnd-1)
	}
}

func TestEntries(t *testing.T) {
	for _, e := range table {
		if !e.Class.Valid() {
			t.Errorf("%s: class %d", e.Name, e.Class)
		}
		if e.Class != Home && e.Note == "" {
			t.Errorf("%s is %v and says nothing to the user", e.Name, e.Class)
		}
		if e.Note != "" && !strings.HasSuffix(e.Note, ".") {
			t.Errorf("%s: note is no sentence: %q", e.Name, e.Note)
		}
		if strings.ContainsAny(e.Note, "|\n") {
			t.Errorf("%s: note breaks the table: %q", e.Name, e.Note)
		}
		if e.Name == "" || strings.ToLower(e.Name) != e.Name {
			t.Errorf("%d: name %q", e.Nr, e.Name)
		}
	}
}

func TestClassOfCall(t *testing.T) {
	want := map[Class][]string{
		Local:    {"sched_yield"},
		Answered: {"getpid", "gettid", "rseq"},
		Home: {"read", "futex", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue", "getppid",
			"set_robust_list", "set_tid_address", "rt_sigaction", "rt_sigprocmask", "getcpu", "statx", "file_setattr"},
		Everywhere: {"mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "pkey_mprotect", "remap_file_pages",
			"shmat", "shmdt", "mlock", "mlock2", "mlockall", "munlock", "munlockall", "membarrier", "mseal"},
		GoHome: {"sigaltstack", "fork", "vfork", "clone", "clone3", "execve", "execveat", "exit", "exit_group", "rt_sigreturn",
			"arch_prctl", "ptrace", "unshare", "setns", "seccomp", "prctl", "io_uring_setup", "io_uring_enter",
			"io_uring_register", "rt_sigsuspend", "modify_ldt", "set_thread_area", "iopl", "ioperm", "userfaultfd",
			"perf_event_open", "bpf", "kexec_load", "reboot", "restart_syscall"},
		Popcorn: {"popcorn_migrate", "popcorn_propose_migration", "popcorn_get_thread_status", "popcorn_get_node_info", "popcorn_telefork",
			"popcorn_checkpoint"},
	}
	for class, calls := range want {
		for _, name := range calls {
			e, ok := ByName(name)
			if !ok || e.Class != class {
				t.Errorf("%s: found %v, %v, want %v", name, ok, e.Class, class)
			}
		}
	}
	for _, c := range []Class{Local, Answered, Everywhere, Popcorn} {
		if len(Numbers(c)) != len(want[c]) {
			t.Errorf("%v: %d calls, this test knows %d", c, len(Numbers(c)), len(want[c]))
		}
	}
}

func TestLookup(t *testing.T) {
	for nr, name := range map[int]string{0: "read", 24: "sched_yield", 39: "getpid", 186: "gettid", 334: "rseq",
		335: "uretprobe", 336: "uprobe", 424: "pidfd_send_signal", 462: "mseal", 468: "file_getattr",
		469: "file_setattr", 470: "listns", 900: "popcorn_migrate", 903: "popcorn_get_node_info", 904: "popcorn_telefork", 905: "popcorn_checkpoint"} {
		if e := Lookup(nr); e.Name != name || e.Nr != nr {
			t.Errorf("Lookup(%d) = %+v, want %s", nr, e, name)
		}
	}
	const x32 = 0x40000000
	for _, nr := range []int{-1, -1 << 63, 337, 423, 471, 547, 899, 906, x32, 1<<63 - 1} {
		if e := Lookup(nr); e.Class != GoHome || e.Note != "unknown number" || e.Nr != nr {
			t.Errorf("Lookup(%d) = %+v, want to go home", nr, e)
		}
	}
	if _, ok := ByName("no_such_call"); ok {
		t.Error("ByName found no_such_call")
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	n := testing.AllocsPerRun(100, func() {
		if Lookup(202).Class != Home || LookupCall(157, [6]uint64{15}).Class != Home {
			t.Fatal("class changed")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
}

func TestPrctlByOption(t *testing.T) {
	const setName, setSeccomp, setMM = 15, 22, 35
	for option, want := range map[uint64]Class{
		setName:              Home,
		setName | 0xff<<32:   Home, // the kernel looks at 32 bits
		0x53564d41:           Home,
		setSeccomp:           GoHome,
		setMM:                GoHome,
		41:                   GoHome, // PR_SET_THP_DISABLE: changes the memory
		1 << 40:              GoHome,
		0xffffffffffffffff:   GoHome,
		uint64(0x7fffffff):   GoHome,
		0x53564d41 | 1<<63:   Home,
		uint64(1<<31 | 0x0f): GoHome,
	} {
		if got := LookupCall(157, [6]uint64{option}).Class; got != want {
			t.Errorf("prctl(%#x) is %v, want %v", option, got, want)
		}
	}
	if got := LookupCall(9, [6]uint64{15}).Class; got != Everywhere {
		t.Errorf("mmap by LookupCall is %v", got)
	}
}

func TestAllIsACopy(t *testing.T) {
	All()[0].Name = "changed"
	if Lookup(0).Name != "read" || All()[0].Name != "read" {
		t.Error("a caller changed the table")
	}
}

func TestABI(t *testing.T) {
	for name, want := range map[string]map[int]int{
		"":    {},
		"4.4": {330: Migrate, 331: ProposeMigration, 332: GetThreadStatus, 333: GetNodeInfo},
		"rfc": {434: Migrate, 435: GetThreadStatus, 436: GetNodeInfo},
	} {
		abi, err := ParseABI(name)
		if err != nil {
			t.Fatal(err)
		}
		for nr := -1; nr < 1000; nr++ {
			w, known := want[nr]
			if nr >= 900 && nr <= 905 {
				w, known = nr, true
			}
			if got, ok := abi.Popcorn(nr); got != w || ok != known {
				t.Errorf("abi %q, %d: %d, %v, want %d, %v", name, nr, got, ok, w, known)
			}
		}
		if n := abi.Numbers(); len(n) != len(want)+6 {
			t.Errorf("abi %q traps %v", name, n)
		}
	}
	if _, err := ParseABI("5.2"); err == nil {
		t.Error("ParseABI took 5.2")
	}
}

func TestWaits(t *testing.T) {
	names := map[string]Wait{
		"epoll_wait": {true, Millis, 3}, "epoll_pwait": {true, Millis, 3}, "epoll_pwait2": {true, Timespec, 3},
		"rt_sigtimedwait": {true, Timespec, 2}, "semop": {true, NoTimeout, -1}, "semtimedop": {true, Timespec, 3},
		"io_getevents": {true, Timespec, 4}, "io_pgetevents": {false, Timespec, 4},
		"accept": {true, SocketOption, -1}, "recvfrom": {true, SocketOption, -1}, "sendmsg": {true, SocketOption, -1},
		"connect": {true, SocketOption, -1}, "read": {true, SocketOption, -1},
	}
	for name, want := range names {
		e, _ := ByName(name)
		if got, ok := Interrupted(e.Nr); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, want)
		}
		if RestartsWithEINTR(e.Nr) != want.EINTR {
			t.Errorf("%s: RestartsWithEINTR is %v", name, !want.EINTR)
		}
	}
	for _, name := range []string{"nanosleep", "clock_nanosleep", "poll", "ppoll", "select", "pselect6", "futex", "wait4"} {
		e, _ := ByName(name)
		if _, ok := Interrupted(e.Nr); ok || RestartsWithEINTR(e.Nr) {
			t.Errorf("%s is restarted by the kernel", name)
		}
	}
	for nr, w := range waits {
		if (w.Arg >= 0) != (w.Unit == Millis || w.Unit == Timespec) {
			t.Errorf("%s: argument %d with unit %v", Lookup(nr).Name, w.Arg, w.Unit)
		}
	}
}

func TestMaskArg(t *testing.T) {
	want := map[string]int{"ppoll": 3, "pselect6": 5, "epoll_pwait": 4, "epoll_pwait2": 4, "io_pgetevents": 5}
	for _, e := range table {
		arg, ok := want[e.Name]
		if !ok {
			arg = -1
		}
		if got := MaskArg(e.Nr); got != arg {
			t.Errorf("%s: argument %d, want %d", e.Name, got, arg)
		}
		if arg < 0 {
			continue
		}
		var args [6]uint64
		if got := LookupCall(e.Nr, args).Class; got != Home {
			t.Errorf("%s without a mask is %v", e.Name, got)
		}
		args[arg] = 0x7fff0000
		if got := LookupCall(e.Nr, args).Class; got != GoHome {
			t.Errorf("%s with a mask is %v", e.Name, got)
		}
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(All())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), `[{"number":0,"name":"read","class":"home"},`) {
		t.Errorf("JSON begins %.80s", b)
	}
	var back []Entry
	if err := json.Unmarshal(b, &back); err != nil || !slices.Equal(back, table) {
		t.Errorf("JSON does not come back: %v", err)
	}
	if err := json.Unmarshal([]byte(`"elsewhere"`), new(Class)); err == nil {
		t.Error("class elsewhere accepted")
	}
	if _, err := json.Marshal(Class(99)); err == nil {
		t.Error("class 99 marshalled")
	}
}

func TestDocumentIsUpToDate(t *testing.T) {
	got, err := os.ReadFile("../../SYSCALLS.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../test/guests/*.c")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources[strings.TrimSuffix(filepath.Base(f), ".c")] = string(text)
	}
	if string(got) != Document(Proofs(sources)) {
		t.Error("SYSCALLS.md differs from the table: run go generate ./internal/syscalls")
	}
}

func TestProofs(t *testing.T) {
	proofs := Proofs(map[string]string{
		"b": "// args: 3\n// calls: read write\n// calls: pipe\n#include <x>\n// calls: late\n",
		"a": "// calls: read\n",
		"c": "// calls nothing\n",
	})
	want := map[string][]string{"read": {"a", "b"}, "write": {"b"}, "pipe": {"b"}}
	if !maps.EqualFunc(proofs, want, slices.Equal) {
		t.Errorf("%v, want %v", proofs, want)
	}
}

func TestMarkdownTable(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(MarkdownTable(nil), "\n"), "\n")
	if len(lines) != len(table)+2 {
		t.Fatalf("%d lines for %d calls", len(lines), len(table))
	}
	for _, line := range lines {
		if strings.Count(line, "|") != 6 {
			t.Errorf("not five columns: %s", line)
		}
	}
}

// TestCopiedIn: what calls read is described by arguments that there are, and only of
// calls that home's kernel makes.
func TestCopiedIn(t *testing.T) {
	for nr, list := range copiedIn {
		if c := Lookup(nr).Class; c != Home {
			t.Errorf("%s is %v", Lookup(nr).Name, c)
		}
		seen := map[int]bool{}
		for _, c := range list {
			if c.arg > 5 || c.size.times > 5 || c.size.times == c.arg || seen[c.arg] || c.shape == Fixed && c.size.bytes == 0 {
				t.Errorf("%s: %+v", Lookup(nr).Name, c)
			}
			seen[c.arg] = true
		}
	}
	for nr, list := range copiedOut {
		if c := Lookup(nr).Class; c != Home {
			t.Errorf("%s is %v", Lookup(nr).Name, c)
		}
		seen := map[int]bool{}
		for _, w := range list {
			if w.arg > 5 || w.size.times > 5 || w.size.times == w.arg || seen[w.arg] || w.size.bytes == 0 || w.per > 0 && w.per != w.size.bytes {
				t.Errorf("%s: %+v", Lookup(nr).Name, w)
			}
			seen[w.arg] = true
			for _, c := range copiedIn[nr] {
				if c.arg == w.arg && (c.size != w.size || w.per > 0) {
					t.Errorf("%s reads and writes by argument %d, but not the same", Lookup(nr).Name, c.arg)
				}
			}
			if f := w.field; f.At+f.Len > f.Step || f.Step > 0 && f.Len == 0 {
				t.Errorf("%s: %+v", Lookup(nr).Name, f)
			}
		}
	}
	const zeroCopy = 0x4000000
	for _, c := range []struct {
		call string
		args [6]uint64
		want []Buffer
	}{
		{"write", [6]uint64{1, 4096, 12}, []Buffer{{1, Fixed, 12}}},
		{"sendto", [6]uint64{1, 4096, 12, 0, 8192, 16}, []Buffer{{1, Fixed, 12}, {4, Fixed, 16}}},
		{"sendto", [6]uint64{1, 4096, 12, zeroCopy}, nil},
		{"sendmsg", [6]uint64{1, 4096, zeroCopy}, nil},
		{"sendmsg", [6]uint64{1, 4096}, []Buffer{{1, Message, 0}}},
		{"writev", [6]uint64{1, 4096, 3}, []Buffer{{1, Vector, 3}}},
		{"semop", [6]uint64{1, 4096, 3}, []Buffer{{1, Fixed, 18}}},
		{"semop", [6]uint64{1, 4096, ^uint64(0)}, []Buffer{{1, Fixed, 6 << 32}}},
		{"openat", [6]uint64{1, 4096}, []Buffer{{1, String, 0}}},
		{"futex", [6]uint64{4096, 128, 0, 8192}, []Buffer{{3, Fixed, 16}}}, // FUTEX_WAIT | FUTEX_PRIVATE_FLAG
		{"futex", [6]uint64{4096, 129, 0, 8192}, nil},
		{"fcntl", [6]uint64{1, 7, 4096}, []Buffer{{2, Fixed, 32}}},
		{"fcntl", [6]uint64{1, 5, 4096}, nil}, // F_GETLK writes
		{"ioctl", [6]uint64{1, 0x5421, 4096}, []Buffer{{2, Fixed, 4}}},
		{"ioctl", [6]uint64{1, 0x5401, 4096}, nil},
		{"read", [6]uint64{1, 4096, 12}, nil},
		{"poll", [6]uint64{4096, 12}, []Buffer{{0, Fixed, 96}}},
		{"select", [6]uint64{65, 4096, 8192, 0, 0}, []Buffer{{4, Fixed, 16}, {1, Fixed, 16}, {2, Fixed, 16}, {3, Fixed, 16}}},
		{"select", [6]uint64{0, 4096, 8192, 0, 0}, []Buffer{{4, Fixed, 16}}},
		{"select", [6]uint64{1025, 4096, 8192, 0, 0}, []Buffer{{4, Fixed, 16}}},
	} {
		e, ok := ByName(c.call)
		if got := CopiedIn(e.Nr, c.args); !ok || !slices.Equal(got, c.want) {
			t.Errorf("%s%v: got %v, want %v", c.call, c.args, got, c.want)
		}
	}
}

func TestCopiedOut(t *testing.T) {
	const failure = ^uint64(3) // EINTR
	for _, c := range []struct {
		call string
		args [6]uint64
		ret  uint64
		want []uint64 // how much is written by each pointer
	}{
		{"read", [6]uint64{1, 4096, 12}, 5, []uint64{5}},
		{"read", [6]uint64{1, 4096, 12}, 0, []uint64{0}},
		{"recvfrom", [6]uint64{1, 4096, 12}, 20, []uint64{12}}, // of a datagram, to netlink say
		{"recvfrom", [6]uint64{1, 4096, 12, 0x20}, 5, nil},     // MSG_TRUNC
		{"fstat", [6]uint64{1, 4096}, 0, []uint64{144}},
		{"epoll_wait", [6]uint64{1, 4096, 10, 0}, 3, []uint64{36}},
		{"epoll_wait", [6]uint64{1, 4096, ^uint64(0), 0}, ^uint64(0) >> 1, []uint64{12 << 32}},
		{"getgroups", [6]uint64{0, 4096}, 7, []uint64{0}},
		{"getresuid", [6]uint64{4096, 8192, 0}, 0, []uint64{4, 4, 4}},
		{"ioctl", [6]uint64{1, 0x5401, 4096}, 0, []uint64{36}},
		{"ioctl", [6]uint64{1, 0x5402, 4096}, 0, nil},
		{"poll", [6]uint64{4096, 2}, 1, []uint64{16}},
		{"poll", [6]uint64{4096, 2}, failure, []uint64{0}},
		{"pselect6", [6]uint64{3, 4096, 0, 0, 8192}, 0, []uint64{16, 8, 8, 8}},
		{"pselect6", [6]uint64{3, 4096, 0, 0, 8192}, failure, []uint64{16, 0, 0, 0}},
		{"read", [6]uint64{1, 4096, 12}, failure, []uint64{0}},
	} {
		e, _ := ByName(c.call)
		var got []uint64
		for _, r := range CopiedOut(e.Nr, c.args) {
			n := r.Written(c.ret)
			if n > r.Size {
				t.Errorf("%s writes %d bytes of %d", c.call, n, r.Size)
			}
			got = append(got, n)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s%v = %d: got %v, want %v", c.call, c.args, c.ret, got, c.want)
		}
	}
}
