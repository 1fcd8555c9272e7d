package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Kernel is what a virtual machine runs: a cloud kernel of Debian.
type Kernel struct {
	Series string // "6.1"
	dir    string // in the cache: vmlinuz and the modules
}

// modules are what a machine's network card takes, in the order in which they are
// loaded. One that a kernel has not is part of it.
var modules = []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
	"failover", "net_failover", "virtio_net"}

// skipVirtual is the variable that lets tests do without virtual machines.
const skipVirtual = "POPCORN_TEST_NO_VM"

// NeedKernel is the newest kernel of a series, from the cache of the user or else
// from Debian's packages. The test fails where that, or QEMU, cannot be had, and is
// skipped where POPCORN_TEST_NO_VM is set or the right to make hosts is missing.
func NeedKernel(t testing.TB, series string) Kernel {
	t.Helper()
	needNamespaces(t)
	if os.Getenv(skipVirtual) != "" {
		t.Skipf("no virtual machines: %s is set", skipVirtual)
	}
	k, err := findKernel(series)
	if err == nil {
		err = needVirtual()
	}
	if err != nil {
		t.Fatalf("%v\n(%s=1 skips the tests that need virtual machines)", err, skipVirtual)
	}
	return k
}

func findKernel(series string) (Kernel, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Kernel{}, fmt.Errorf("find cache for kernels: %w", err)
	}
	cache = filepath.Join(cache, "popcorn-lab")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, fmt.Errorf("make cache for kernels: %w", err)
	}
	unlock, err := lockFile(filepath.Join(cache, "lock"))
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	k := Kernel{series, filepath.Join(cache, "linux-"+series)}
	if _, err := os.Stat(k.dir); err == nil {
		return k, nil
	}
	if err := k.fetch(cache); err != nil {
		return Kernel{}, fmt.Errorf("get a Linux %s kernel: %w\nGive apt a source of linux-image-cloud-amd64 of that series, or put vmlinuz "+
			"and the virtio_net modules of one into %s", series, err, k.dir)
	}
	return k, nil
}

// lockFile waits for other tests that want the same; they fetch in a bounded time.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock cache for kernels: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock cache for kernels: %w", err)
	}
	return f.Close, nil
}

// codenames of the Debian releases that have a series, for machines whose own
// package sources have not.
var codenames = map[string]string{"6.1": "bookworm", "6.12": "trixie"}

// fetch asks the machine's own package sources, and then Debian's.
func (k Kernel) fetch(cache string) error {
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	own, debian := archive{dir: filepath.Join(work, "own")}, archive{dir: filepath.Join(work, "debian")}
	err = k.from(own)
	if err != nil && codenames[k.Series] != "" {
		debian.source = "deb [signed-by=" + debianKeys + "] " + debianMirror() + " " + codenames[k.Series] + " main\n"
		if err2 := k.from(debian); err2 != nil {
			return fmt.Errorf("from this machine's package sources: %w\nfrom %s: %w", err, debianMirror(), err2)
		}
		err = nil
	}
	return err
}

const debianKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

func debianMirror() string {
	if m := os.Getenv("POPCORN_TEST_DEBIAN_MIRROR"); m != "" {
		return m
	}
	return "http://deb.debian.org/debian"
}

func (k Kernel) from(a archive) error {
	if err := a.open(); err != nil {
		return err
	}
	name, err := a.resolve(k.Series)
	if err != nil {
		return err
	}
	files, err := a.unpack(name)
	if err != nil {
		return err
	}
	return k.store(files, filepath.Join(a.dir, "store"))
}

// store makes the cache's folder of what a package has, all of it or nothing.
func (k Kernel) store(files, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	image, err := filepath.Glob(files + "/boot/vmlinuz-*")
	if err != nil || len(image) != 1 {
		return fmt.Errorf("find kernel in package: %v, %w", image, errors.Join(err, fs.ErrNotExist))
	}
	if err := copyFile(image[0], filepath.Join(dir, "vmlinuz")); err != nil {
		return err
	}
	err = filepath.WalkDir(files, func(path string, _ fs.DirEntry, err error) error {
		base, ext, _ := strings.Cut(filepath.Base(path), ".ko")
		if err != nil || ext != "" && ext != ".xz" || !strings.Contains(path, ".ko") || !slices.Contains(modules, base) {
			return err
		}
		return storeModule(path, filepath.Join(dir, base+".ko"))
	})
	if err != nil {
		return err
	}
	return os.Rename(dir, k.dir)
}

func storeModule(path, to string) error {
	if !strings.HasSuffix(path, ".xz") {
		return copyFile(path, to)
	}
	module, err := exec.Command("xz", "-dc", path).Output()
	if err != nil {
		return fmt.Errorf("unpack %s: %w", path, err)
	}
	return os.WriteFile(to, module, 0o644)
}

// archive is package sources and a folder for what apt keeps of them: the
// machine's own state is only read.
type archive struct {
	dir    string
	source string // sources.list(5), empty for the machine's own
}

// downloads bounds one command of apt.
const downloads = 5 * time.Minute

func (a archive) apt(command string, args ...string) ([]byte, error) {
	options := []string{"-q", "-o", "Dir::State::lists=" + a.dir + "/lists", "-o", "Dir::Cache=" + a.dir + "/cache",
		"-o", "Dir::State::status=/dev/null", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none",
		"-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64", "-o", "Acquire::Retries=2"}
	if a.source != "" {
		options = append(options, "-o", "Dir::Etc::sourcelist="+a.dir+"/sources.list", "-o", "Dir::Etc::sourceparts=-")
	}
	return machineRun(a.dir, command, append(options, args...)...)
}

// machineRun runs a program of the machine for at most the time of a download.
func machineRun(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	var errs strings.Builder
	cmd.Stderr = &errs
	end := time.AfterFunc(downloads, func() { cmd.Process.Kill() })
	defer end.Stop()
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(errs.String()))
	}
	return out, err
}

func (a archive) open() error {
	for _, dir := range []string{"/lists/partial", "/cache/archives/partial"} {
		if err := os.MkdirAll(a.dir+dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(a.dir+"/sources.list", []byte(a.source), 0o644); err != nil {
		return err
	}
	_, err := a.apt("apt-get", "update")
	return err
}

// resolve finds the package of a series through those that stand for the newest.
func (a archive) resolve(series string) (string, error) {
	meta := []string{"linux-image-" + series + "-cloud-amd64", "linux-image-cloud-amd64"}
	for _, m := range meta {
		out, _ := a.apt("apt-cache", "depends", m) // an error when there is none
		for word := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(word, "linux-image-"+series+".") {
				return word, nil
			}
		}
	}
	return "", fmt.Errorf("look for %s: no package of series %s", strings.Join(meta, " or "), series)
}

// unpack downloads a package and returns the folder with its files.
func (a archive) unpack(name string) (string, error) {
	if _, err := a.apt("apt-get", "download", name); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(a.dir + "/" + name + "_*.deb")
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("find downloaded package %s: %v, %w", name, debs, errors.Join(err, fs.ErrNotExist))
	}
	files := a.dir + "/files"
	_, err = machineRun(a.dir, "dpkg-deb", "-x", debs[0], files)
	return files, err
}
