package carry

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
)

// Subject is the program to be saved.
type Subject struct {
	Proc *guest.Process
	// Run is popcorn run, whose terminal and pipes the program was given.
	Run int
	// Threads are the program's; others of the process are ours.
	Threads []Stopped
	// Filters is how many seccomp filters it was started under, ours among them.
	Filters int
	// Distributed: the agent's range is ours, whatever is in it.
	Distributed bool
	// Still: all threads are stopped, and none is inside the kernel.
	Still bool
	// Before is what an earlier look found, nil for none. What takes long to learn
	// (VmFlags: the kernel counts all pages for it) and is of the very same mappings
	// is taken from there.
	Before *Draft
}

// Stopped is a thread of the program.
type Stopped struct {
	TID int
	// Context is what it resumes with, nil for what its registers are now.
	Context *guest.Context
	// Partial is a write that it has made a part of, nil for none. Context is then that
	// before the call.
	Partial *image.Partial
	// Wait is the number of the call at address WaitAt, should it stand there in
	// restart_syscall.
	Wait, WaitAt uint64
	// ClearTID is where the kernel clears its id when it ends, 0 when not known.
	ClearTID uint64
}

// Draft is what an image will be made of, as far as it can be learned without
// the program's help.
type Draft struct {
	s     Subject
	Image *image.Image
	// Obstacles is what cannot be carried.
	Obstacles []image.Obstacle
	blobs     []blob
	// direct is memory that a copy of the process does not have.
	direct []image.Range
	// whole is mappings, by their start, of which all pages are wanted: what a
	// process has touched of them is not all there is.
	whole map[uint64]bool
	vmas  []sys.VMA
	flags map[uint64]string // VmFlags by start
}

// blob is content to be carried along.
type blob struct {
	data []byte
	fd   int // of ours, to read size bytes of; -1: data
	size int64
}

// Look learns about the subject without touching it. With obstacles it is an
// answer to the question whether it can be saved.
func Look(s Subject) (*Draft, error) {
	d := &Draft{s: s, Image: &image.Image{}}
	p := &d.Image.Process
	p.PID, p.Taken = s.Proc.PID, time.Now().Unix()
	if u, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		p.Kernel = string(u[:len(u)-1])
	}
	for _, look := range []func() error{d.lookProcess, d.lookKin, d.lookMappings, d.lookFiles} {
		if err := look(); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// Close gives up what a draft holds.
func (d *Draft) Close() {
	for _, b := range d.blobs {
		if b.fd >= 0 {
			sys.Close(b.fd)
		}
	}
	d.blobs = nil
}

func (d *Draft) obstacle(thing, owner, why, do string) {
	d.Obstacles = append(d.Obstacles, image.Obstacle{Thing: thing, Owner: owner, Why: why, Do: do})
}

// path is a file of the process in /proc.
func (d *Draft) path(name string) string { return fmt.Sprintf("/proc/%d/%s", d.s.Proc.PID, name) }

// owner names the process in an obstacle.
func (d *Draft) owner() string { return fmt.Sprintf("process %d", d.s.Proc.PID) }

// lookKin finds children, and threads that share less than threads do.
func (d *Draft) lookKin() error {
	pid := d.s.Proc.PID
	ours := map[int]bool{}
	for _, t := range d.s.Threads {
		ours[t.TID] = true
	}
	if !ours[pid] {
		d.obstacle("first thread", d.owner(), "it has ended while others run on", "let the program end by itself")
		return nil
	}
	tasks, err := os.ReadDir(d.path("task"))
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		d.lookChildren(tid)
		if ours[tid] && tid != pid {
			d.lookShared(tid)
		}
	}
	return nil
}

func (d *Draft) lookChildren(tid int) {
	b, _ := os.ReadFile(d.path(fmt.Sprintf("task/%d/children", tid)))
	for _, word := range splitFields(string(b)) {
		child, _ := strconv.Atoi(word)
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
		d.obstacle(fmt.Sprintf("child process %d %s", child, trim(comm)), fmt.Sprintf("thread %d", tid),
			"process trees are not carried yet", "wait until it has ended")
	}
}

func (d *Draft) lookShared(tid int) {
	for what, name := range map[int]string{sys.KCMP_FILES: "table of descriptors", sys.KCMP_FS: "working directory"} {
		if n, err := sys.Kcmp(d.s.Proc.PID, tid, what, 0, 0); err == nil && n != 0 {
			d.obstacle(name, fmt.Sprintf("thread %d", tid), "it has one of its own (unshare(2))", "nothing to be done yet")
		}
	}
}

// lookProcess reads what proc(5) tells of the whole process.
func (d *Draft) lookProcess() error {
	st, err := readStatus(d.path("status"))
	if err != nil {
		return err
	}
	p := &d.Image.Process
	d.takeStatus(st)
	if err := d.takeStat(); err != nil {
		return err
	}
	if p.Auxv, err = os.ReadFile(d.path("auxv")); err != nil {
		return fmt.Errorf("read auxiliary vector: %w", err)
	}
	argv, err := os.ReadFile(d.path("cmdline"))
	if err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	p.Argv = splitZero(argv)
	if p.Dir, err = os.Readlink(d.path("cwd")); err != nil {
		return fmt.Errorf("read working directory: %w", err)
	}
	if _, err := os.Stat(p.Dir); err != nil {
		d.obstacle("working directory "+p.Dir, d.owner(), "it has been removed", "make it anew or have the program leave it")
	}
	if root, err := os.Readlink(d.path("root")); err == nil && root != "/" {
		d.obstacle("root directory "+root, d.owner(), "a root of its own is not carried yet", "run popcorn inside of it")
	}
	if err := d.takeExe(); err != nil {
		return err
	}
	d.lookNamespaces()
	return d.takeLimits()
}

func (d *Draft) takeStatus(st status) {
	p := &d.Image.Process
	p.Name = st.text("Name")
	p.Umask = uint32(st.number("Umask", 8))
	p.UIDs, p.GIDs, p.Groups = st.four("Uid"), st.four("Gid"), st.list("Groups")
	p.NoNew = st.number("NoNewPrivs", 10) == 1
	if f := st.number("Seccomp_filters", 10); int(f) > d.s.Filters {
		d.obstacle("seccomp filter", d.owner(), "filters of the program's own cannot be read", "start it without its sandbox")
	}
	for _, ids := range [][4]int{p.UIDs, p.GIDs} {
		if ids[0] != ids[1] || ids[1] != ids[2] || ids[2] != ids[3] {
			d.obstacle("credentials", d.owner(), "real, effective and saved ids differ", "nothing to be done yet")
			break
		}
	}
}

// takeStat reads proc_pid_stat(5).
func (d *Draft) takeStat() error {
	f, err := sys.ReadStat(d.path("stat"))
	if err != nil {
		return fmt.Errorf("read state of process: %w", err)
	}
	if len(f) < 52 {
		return fmt.Errorf("read state of process: %d fields", len(f))
	}
	n := func(i int) int { v, _ := strconv.Atoi(f[i]); return v }
	u := func(i int) uint64 { v, _ := strconv.ParseUint(f[i], 10, 64); return v }
	p := &d.Image.Process
	p.PPID, p.PGID, p.SID, p.Nice = n(4), n(5), n(6), n(19)
	p.Layout = image.Layout{StartCode: u(26), EndCode: u(27), StartStack: u(28), StartData: u(45), EndData: u(46),
		StartBrk: u(47), ArgStart: u(48), ArgEnd: u(49), EnvStart: u(50), EnvEnd: u(51)}
	return nil
}

func (d *Draft) takeExe() error {
	path, err := os.Readlink(d.path("exe"))
	if err != nil {
		return fmt.Errorf("read name of program: %w", err)
	}
	st, err := sys.StatFile(d.path("exe"))
	if err != nil {
		return fmt.Errorf("read program: %w", err)
	}
	d.Image.Process.Exe = identify(path, st)
	if d.Image.Process.Exe.Deleted {
		d.obstacle("program "+path, d.owner(), "its file has been removed or replaced", "put the file back")
	}
	return nil
}

// identify notes what a file was. A path that does not lead to it counts as none.
func identify(path string, st sys.Stat) image.File {
	f := image.File{Path: path, Dev: st.Dev, Ino: st.Ino, Size: st.Size, Mtime: st.Mtime, Mode: st.Mode}
	named, err := sys.StatFile(path)
	f.Deleted = err != nil || !filepath.IsAbs(path) || named.Ino != st.Ino || named.Dev != st.Dev
	return f
}

func (d *Draft) lookNamespaces() {
	for _, ns := range []string{"mnt", "pid", "net", "ipc", "user", "uts", "cgroup"} {
		theirs, err1 := os.Readlink(d.path("ns/" + ns))
		ours, err2 := os.Readlink("/proc/self/ns/" + ns)
		if err1 == nil && err2 == nil && theirs != ours {
			d.obstacle(ns+" namespace", d.owner(), "it has one of its own", "run popcorn inside of it")
		}
	}
}

func (d *Draft) takeLimits() error {
	for r := range sys.Limits {
		l, err := sys.GetLimit(d.s.Proc.PID, r)
		if err != nil { // of a program with other rights than ours
			d.obstacle("resource limits", d.owner(), "they cannot be read: "+err.Error(), "save it as its user")
			return nil
		}
		d.Image.Process.Limits = append(d.Image.Process.Limits, image.Limit{Resource: r, Soft: l.Soft, Max: l.Max})
	}
	return nil
}
