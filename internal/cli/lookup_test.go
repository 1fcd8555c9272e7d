package cli

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// header is the beginning of an ELF file.
func header(class elf.Class, typ elf.Type, m elf.Machine) []byte {
	h := make([]byte, 64)
	copy(h, elf.ELFMAG)
	h[elf.EI_CLASS], h[elf.EI_DATA], h[elf.EI_VERSION] = byte(class), byte(elf.ELFDATA2LSB), 1
	h[16], h[18], h[19] = byte(typ), byte(m), byte(m>>8)
	return h
}

func TestForeign(t *testing.T) {
	big := header(elf.ELFCLASS64, elf.ET_EXEC, 0)
	big[elf.EI_DATA], big[16], big[17], big[18], big[19] = byte(elf.ELFDATA2MSB), 0, byte(elf.ET_EXEC), 0, byte(elf.EM_PPC64)
	native := machines["amd64"]
	for name, c := range map[string]struct {
		head []byte
		want string
	}{
		"static":    {header(elf.ELFCLASS64, elf.ET_EXEC, native), ""},
		"PIE":       {header(elf.ELFCLASS64, elf.ET_DYN, native), ""},
		"i386":      {header(elf.ELFCLASS32, elf.ET_EXEC, elf.EM_386), "it is a 32-bit program (386); popcorn here runs 64-bit ones (x86_64)"},
		"x32":       {header(elf.ELFCLASS32, elf.ET_DYN, native), "it is a 32-bit program"},
		"arm64":     {header(elf.ELFCLASS64, elf.ET_DYN, elf.EM_AARCH64), "it is a program for aarch64; this node is x86_64"},
		"ppc64, BE": {big, "it is a program for ppc64"},
		"an object": {header(elf.ELFCLASS64, elf.ET_REL, native), "link it first"},
		"cut short": {[]byte(elf.ELFMAG), "cut short"},
	} {
		if got := foreign(c.head); !strings.HasPrefix(got, c.want) && !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// write makes a file with just these mode bits.
func write(t *testing.T, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLookUp(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	for _, d := range []string{first, second, filepath.Join(first, "folder")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	good := header(elf.ELFCLASS64, elf.ET_DYN, machines["amd64"])
	bad := header(elf.ELFCLASS32, elf.ET_DYN, elf.EM_386)
	write(t, filepath.Join(first, "hidden"), good, 0o644) // found first, but no program
	write(t, filepath.Join(second, "hidden"), good, 0o755)
	write(t, filepath.Join(first, "plain"), good, 0o644)
	write(t, filepath.Join(second, "old"), bad, 0o755)
	write(t, filepath.Join(second, "folder"), good, 0o755)
	write(t, filepath.Join(second, "script"), []byte("#!"+second+"/old -x\n"), 0o755)
	write(t, filepath.Join(second, "nothing"), []byte("#!\n"), 0o755)
	t.Setenv("PATH", first+":"+second)

	for name, c := range map[string]struct {
		code int
		want string // the path, or part of the error
	}{
		"hidden":  {0, second + "/hidden"},
		"folder":  {0, second + "/folder"},
		"plain":   {exitCannotExec, "permission denied"},
		"old":     {exitCannotExec, "32-bit"},
		"script":  {exitCannotExec, "32-bit"},
		"nothing": {exitCannotExec, "names no interpreter"},
		"absent":  {exitNotFound, "not found in PATH"},
	} {
		p, err := lookUp([]string{name, "x"})
		got := p.path
		if err != nil {
			got = err.Error()
		}
		if codeOf(err) != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, code %d; want %q, %d", name, got, codeOf(err), c.want, c.code)
		}
	}
}

func TestCheckRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	const other = 54321 // an id without a name
	path := filepath.Join(t.TempDir(), "prog")
	for name, c := range map[string]struct {
		uid, gid int
		mode     os.FileMode
		want     string
	}{
		"plain":                    {other, other, 0o755, ""},
		"set-user-ID ours":         {0, 0, 0o755 | os.ModeSetuid, ""},
		"set-user-ID":              {other, 0, 0o755 | os.ModeSetuid, "set-user-ID 54321"},
		"set-group-ID":             {0, other, 0o755 | os.ModeSetgid, "set-group-ID 54321"},
		"mandatory locking's mark": {0, other, 0o745 | os.ModeSetgid, ""},
	} {
		write(t, path, header(elf.ELFCLASS64, elf.ET_DYN, machines["amd64"]), 0o600)
		if err := os.Chown(path, c.uid, c.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := lookUp([]string{path})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (codeOf(err) != exitCannotExec || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
