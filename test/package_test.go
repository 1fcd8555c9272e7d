package test

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"popcorn/internal/cli"
)

// packages builds the .deb and the .tar.zst of the version.
func packages(t *testing.T, version string) (deb, tarball string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(filepath.Join(repo, "packaging/build"), dir)
	cmd.Env = append(os.Environ(), "POPCORN_VERSION="+version, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "popcorn_"+version+"_*.deb"))
	tarballs, _ := filepath.Glob(filepath.Join(dir, "popcorn-"+version+"-linux-*.tar.zst"))
	if len(debs) != 1 || len(tarballs) != 1 {
		t.Fatalf("made %q and %q, want one of each", debs, tarballs)
	}
	return debs[0], tarballs[0]
}

// host is a root directory with a package database of its own.
type host struct {
	t    *testing.T
	root string
}

func newHost(t *testing.T) host {
	t.Helper()
	h := host{t, t.TempDir()}
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(h.root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"status", "available"} {
		h.write("var/lib/dpkg/"+file, "")
	}
	return h
}

func (h host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// dpkg runs it there; the package's scripts run too, not in a chroot.
func (h host) dpkg(args ...string) {
	h.t.Helper()
	args = append([]string{"--root=" + h.root, "--force-script-chrootless", "--force-not-root", "--force-confold"}, args...)
	if out, err := exec.Command("dpkg", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
}

// files are those below the root, without dpkg's own.
func (h host) files() (names []string) {
	h.t.Helper()
	err := fs.WalkDir(os.DirFS(h.root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == "var/lib/dpkg" || path == "var/log":
			return fs.SkipDir
		case !d.IsDir():
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return names
}

// TestPackage: the packages hold all they should, and are made the same twice; the
// .deb is installed, upgraded and purged.
func TestPackage(t *testing.T) {
	for _, tool := range []string{"dpkg", "dpkg-deb", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed; make deps does that", tool)
		}
	}
	deb, tarball := packages(t, "1.0")
	h := newHost(t)
	h.dpkg("-i", deb)
	if out, err := exec.Command(filepath.Join(h.root, "usr/bin/popcorn"), "version").Output(); err != nil || !bytes.HasPrefix(out, []byte("popcorn 1.0 ")) {
		t.Errorf("the installed popcorn says %q, %v", out, err)
	}
	var want []string
	for _, verb := range cli.NewRoot().Commands() {
		if !verb.Hidden {
			want = append(want, "usr/share/man/man1/popcorn-"+verb.Name()+".1.gz")
		}
	}
	want = append(want, "etc/popcorn/node.toml", "usr/bin/popcorn", "usr/include/popcorn.h", "usr/lib/systemd/system/popcorn-node.service",
		"usr/share/bash-completion/completions/popcorn", "usr/share/doc/popcorn/README.md", "usr/share/doc/popcorn/copyright",
		"usr/share/fish/vendor_completions.d/popcorn.fish", "usr/share/man/man1/popcorn-node-join.1.gz",
		"usr/share/man/man1/popcorn.1.gz", "usr/share/zsh/vendor-completions/_popcorn")
	installed := h.files()
	for _, name := range want {
		if !slices.Contains(installed, name) {
			t.Errorf("the .deb does not install %s", name)
		}
	}
	if !holdsTheSame(t, tarball, installed) {
		t.Errorf("the .tar.zst does not hold the files of the .deb, which are\n%s", strings.Join(installed, "\n"))
	}
	if out, err := exec.Command("bash", "-n", filepath.Join(h.root, "usr/share/bash-completion/completions/popcorn")).CombinedOutput(); err != nil {
		t.Errorf("the completions are no script: %v\n%s", err, out)
	}
	unit, err := os.ReadFile(filepath.Join(h.root, "usr/lib/systemd/system/popcorn-node.service"))
	if start := regexp.MustCompile(`(?m)^ExecStart=/(\S+)`).FindSubmatch(unit); err != nil || start == nil || !slices.Contains(installed, string(start[1])) {
		t.Errorf("the unit starts %q, which is not installed (%v)", start, err)
	}

	h.write("etc/popcorn/node.toml", "# mine\n")
	h.write("var/lib/popcorn/audit.log", "joined\n")
	newer, _ := packages(t, "1.1")
	h.dpkg("-i", newer)
	if out, err := exec.Command(filepath.Join(h.root, "usr/bin/popcorn"), "version").Output(); err != nil || !bytes.HasPrefix(out, []byte("popcorn 1.1 ")) {
		t.Errorf("after the upgrade popcorn says %q, %v", out, err)
	}
	for name, text := range map[string]string{"etc/popcorn/node.toml": "# mine\n", "var/lib/popcorn/audit.log": "joined\n"} {
		if got, err := os.ReadFile(filepath.Join(h.root, name)); err != nil || string(got) != text {
			t.Errorf("after the upgrade %s is %q, %v", name, got, err)
		}
	}
	h.dpkg("-r", "popcorn")
	if left := h.files(); !slices.Equal(left, []string{"etc/popcorn/node.toml", "var/lib/popcorn/audit.log"}) {
		t.Errorf("removed, it leaves %q", left)
	}
	h.dpkg("-P", "popcorn")
	if left := h.files(); len(left) > 0 {
		t.Errorf("purged, it leaves %q", left)
	}

	deb2, tarball2 := packages(t, "1.0")
	for one, other := range map[string]string{deb: deb2, tarball: tarball2} {
		if sum(t, one) != sum(t, other) {
			t.Errorf("%s and %s differ", one, other)
		}
	}
}

// holdsTheSame compares the names in the tar file, below its one folder.
func holdsTheSame(t *testing.T, tarball string, files []string) bool {
	t.Helper()
	out, err := exec.Command("tar", "--zstd", "-tf", tarball).Output()
	if err != nil {
		t.Fatalf("list %s: %v", tarball, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		_, name, _ := strings.Cut(strings.TrimSpace(line), "/")
		if name != "" && !strings.HasSuffix(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	files = slices.Sorted(slices.Values(files))
	return slices.Equal(names, files)
}

func sum(t *testing.T, file string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}
