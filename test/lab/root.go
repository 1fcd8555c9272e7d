package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stage is where a host's file system is put together: a folder every machine
// has, and nothing beneath is needed meanwhile. The mount is seen by this
// process only.
const stage = "/sys"

// builder makes a root; after the first error it does nothing.
type builder struct {
	root string // of the host to be
	disk string // a tmpfs, what the host can write
	err  error
}

func (b *builder) do(what, object string, f func() error) {
	if b.err != nil {
		return
	}
	if err := f(); err != nil {
		b.err = fmt.Errorf("%s %s: %w", what, object, err)
	}
}

func (b *builder) mount(source, target, kind string, flags uintptr, data string) {
	b.do("mount", target, func() error { return unix.Mount(source, target, kind, flags, data) })
}

func (b *builder) bind(source, target string) { b.mount(source, target, "", unix.MS_BIND, "") }

func (b *builder) mkdir(mode os.FileMode, paths ...string) {
	for _, p := range paths {
		b.do("make", p, func() error {
			if err := os.MkdirAll(p, 0o755); err != nil {
				return err
			}
			return os.Chmod(p, mode)
		})
	}
}

func (b *builder) symlink(target, path string) {
	b.do("make link", path, func() error { return os.Symlink(target, path) })
}

func (b *builder) write(path, text string) {
	b.do("write", path, func() error {
		os.Remove(path) // not through a link, which the machine's /etc may have here
		return os.WriteFile(path, []byte(text), 0o644)
	})
}

// in is path inside the host to be.
func (b *builder) in(path string) string { return filepath.Join(b.root, path) }

// writable are the folders an origin has of its own.
var writable = []string{"/tmp", "/run", "/var/lib"}

// buildRoot makes the file system of a host and returns its place.
func buildRoot(c bootConfig) (string, error) {
	b := &builder{root: stage, disk: stage}
	b.mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if c.Origin {
		b.originRoot(c.Files)
	} else {
		b.mount("lab", stage, "tmpfs", 0, "mode=755")
		b.tinyRoot()
	}
	b.kernel()
	for dir, old := range c.Disk {
		b.do("restore", dir, func() error { return copyTree(old, b.in(dir)) })
	}
	b.write(b.in("/etc/hostname"), c.Name+"\n")
	b.write(b.in("/etc/hosts"), c.Hosts)
	for _, f := range c.Files {
		b.do("copy", f.Source, func() error { return copyFile(f.Source, b.in(f.Path)) })
	}
	return b.root, b.err
}

// Users of a tiny root, passwd(5).
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n" +
		"bob:x:1001:1001::/home/bob:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
	group = "root:x:0:\nalice:x:1000:\nbob:x:1001:\nnogroup:x:65534:\n"
)

func (b *builder) tinyRoot() {
	b.mkdir(0o755, b.in("/proc"), b.in("/sys"), b.in("/dev"), b.in("/etc"), b.in("/home/alice"), b.in("/home/bob"),
		b.in("/run"), b.in("/usr/bin"), b.in("/var/lib"), b.in("/var/log"))
	b.mkdir(0o777|os.ModeSticky, b.in("/tmp"), b.in("/var/tmp"))
	b.mkdir(0o700, b.in("/root"))
	b.symlink("usr/bin", b.in("/bin"))
	b.write(b.in("/etc/passwd"), passwd)
	b.write(b.in("/etc/group"), group)
	for name, id := range map[string]int{"alice": 1000, "bob": 1001} {
		b.do("give away home of", name, func() error { return os.Chown(b.in("/home/"+name), id, id) })
	}
}

// originRoot is a read-only copy of the machine's tree of mounts, taken before
// anything is mounted on the stage. Folders that get files are overlays.
func (b *builder) originRoot(files []file) {
	var tree int
	b.do("copy", "tree of mounts", func() (err error) {
		tree, err = unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		return err
	})
	b.do("protect", "tree of mounts", func() error {
		return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	})
	b.mount("lab", stage, "tmpfs", 0, "mode=755")
	b.root, b.disk = stage+"/root", stage+"/disk"
	b.mkdir(0o755, b.root, b.disk)
	b.do("mount", b.root, func() error { return unix.MoveMount(tree, "", unix.AT_FDCWD, b.root, unix.MOVE_MOUNT_F_EMPTY_PATH) })
	for _, dir := range writable {
		own := b.disk + dir
		b.mkdir(0o755, own)
		b.bind(own, b.in(dir))
	}
	b.mkdir(0o777|os.ModeSticky, b.in("/tmp"))
	for i, dir := range b.overlaid(files) {
		b.overlay(dir, i)
	}
}

// overlaid is the folders of an origin that must be changed, outer ones first.
func (b *builder) overlaid(files []file) []string {
	dirs := []string{"/etc"}
	for _, f := range files {
		dir := filepath.Dir(f.Path)
		for !exists(b.in(dir)) {
			dir = filepath.Dir(dir)
		}
		below := func(d string) bool { return dir == d || strings.HasPrefix(dir, d+"/") }
		if !slices.ContainsFunc(writable, below) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (b *builder) overlay(dir string, i int) {
	upper, work := fmt.Sprintf("%s/upper%d", b.disk, i), fmt.Sprintf("%s/work%d", b.disk, i)
	b.mkdir(0o755, upper, work)
	b.mount("lab", b.in(dir), "overlay", 0, "lowerdir="+b.in(dir)+",upperdir="+upper+",workdir="+work)
}

// devices are the nodes of a host; those the machine lacks are left out.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty", "userfaultfd"}

// kernel mounts what the kernel shows.
func (b *builder) kernel() {
	const quiet = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	b.mount("proc", b.in("/proc"), "proc", quiet, "")
	b.mount("sysfs", b.in("/sys"), "sysfs", quiet|unix.MS_RDONLY, "")
	dev := b.in("/dev")
	// Not mounted over the machine's before its nodes have been looked at.
	nodes := lookAt(devices)
	b.mount("lab", dev, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755")
	for name, st := range nodes {
		b.do("make device", name, func() error { return mknod(filepath.Join(dev, name), st) })
	}
	b.devices(dev)
}

// devices is what a folder of devices has besides nodes.
func (b *builder) devices(dev string) {
	b.mkdir(0o755, dev+"/pts")
	b.mkdir(0o777|os.ModeSticky, dev+"/shm")
	b.mount("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	b.symlink("pts/ptmx", dev+"/ptmx")
	b.symlink("/proc/self/fd", dev+"/fd")
	for i, name := range []string{"stdin", "stdout", "stderr"} {
		b.symlink("/proc/self/fd/"+strconv.Itoa(i), filepath.Join(dev, name))
	}
}

func lookAt(names []string) map[string]unix.Stat_t {
	found := map[string]unix.Stat_t{}
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat("/dev/"+name, &st) == nil {
			found[name] = st
		}
	}
	return found
}

func mknod(path string, st unix.Stat_t) error {
	if err := unix.Mknod(path, st.Mode, int(st.Rdev)); err != nil {
		return err
	}
	return unix.Chmod(path, st.Mode&0o7777) // whatever the umask
}
