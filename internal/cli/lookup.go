package cli

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"popcorn/internal/sys"
)

// program is what execve(2) will be given.
type program struct {
	path string
	argv []string
}

// defaultPath is where execvp(3) searches when PATH is not set.
const defaultPath = "/bin:/usr/bin"

// lookUp finds the program args[0] as execvp(3) would and refuses, with the
// exit codes 126 and 127, what cannot run under popcorn.
func lookUp(args []string) (program, error) {
	p := program{argv: args}
	var err error
	if p.path, err = search(args[0]); err != nil {
		return p, err
	}
	head, fi, err := readHead(p.path)
	if err != nil {
		return p, cannot(p.path, err.Error())
	}
	switch {
	case head == nil: // may be executed but not read
		return p, checkRights(p.path, fi)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		if reason := foreign(head); reason != "" {
			return p, cannot(p.path, reason)
		}
		return p, checkRights(p.path, fi)
	case bytes.HasPrefix(head, []byte("#!")):
		return p, checkInterpreter(p.path, head)
	case bytes.IndexByte(head, 0) >= 0:
		return p, nil // binfmt_misc may know it; if not, execve says so
	}
	// A script without a first line for the kernel goes to the shell.
	return program{"/bin/sh", append([]string{"/bin/sh", p.path}, args[1:]...)}, nil
}

func cannot(path, reason string) error {
	return exitf(exitCannotExec, "cannot execute %s: %s", path, reason)
}

// search resolves name over PATH. Like execvp, it goes on past a file it may
// not execute, and remembers it.
func search(name string) (string, error) {
	if name == "" {
		return "", exitf(exitNotFound, "cannot execute an empty name")
	}
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	dirs, ok := os.LookupEnv("PATH")
	if !ok {
		dirs = defaultPath
	}
	var denied error
	for _, dir := range filepath.SplitList(dirs) {
		path := filepath.Join(dir, name)
		if dir == "" || dir == "." {
			path = "./" + name
		}
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if codeOf(err) == exitCannotExec && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", exitf(exitNotFound, "program %s not found in PATH", name)
}

func executable(path string) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, sys.ENOTDIR):
		return exitf(exitNotFound, "program %s not found", path)
	case err != nil:
		return exitf(exitCannotExec, "cannot execute %s: %w", path, err)
	case fi.IsDir():
		return cannot(path, "it is a directory")
	case !fi.Mode().IsRegular():
		return cannot(path, "it is not a regular file")
	}
	if err := sys.MayExecute(path); err != nil {
		return exitf(exitCannotExec, "cannot execute %s: %w; chmod +x makes a file a program", path, err)
	}
	return nil
}

// readHead returns the first bytes of a program, nil when it may not be read.
func readHead(path string) ([]byte, os.FileInfo, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrPermission) {
		return nil, fi, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	head := make([]byte, 256) // what execve reads: BINPRM_BUF_SIZE
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	return head[:n:n], fi, nil
}

// machines are the instruction sets popcorn is built for.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// foreign returns why an ELF file cannot run here, or nothing. Offsets are
// those of elf(5): class at 4, type at 16, machine at 18.
func foreign(head []byte) string {
	if len(head) < 20 {
		return "its ELF header is cut short"
	}
	ours := machines[runtime.GOARCH]
	var order binary.ByteOrder = binary.LittleEndian
	if head[elf.EI_DATA] == byte(elf.ELFDATA2MSB) {
		order = binary.BigEndian
	}
	typ, machine := elf.Type(order.Uint16(head[16:])), elf.Machine(order.Uint16(head[18:]))
	switch {
	case elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS32:
		return fmt.Sprintf("it is a 32-bit program (%s); popcorn here runs 64-bit ones (%s)", short(machine), short(ours))
	case machine != ours:
		return fmt.Sprintf("it is a program for %s; this node is %s", short(machine), short(ours))
	case typ != elf.ET_EXEC && typ != elf.ET_DYN:
		return "it is an ELF file, but no program: link it first"
	}
	return ""
}

func short(m elf.Machine) string {
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// checkRights refuses a program that execve would give other rights than
// ours: one that is traced or under a filter is run without them.
func checkRights(path string, fi os.FileInfo) error {
	uid, gid := sys.FileOwner(fi)
	mode := fi.Mode()
	const why = "a program under popcorn cannot gain rights"
	if mode&os.ModeSetuid != 0 && int(uid) != os.Geteuid() {
		return cannot(path, fmt.Sprintf("it is set-user-ID %s, and %s; run popcorn as %[1]s", userName(uid), why))
	}
	// Without the group's x bit set-group-ID once meant mandatory locking.
	if mode&os.ModeSetgid != 0 && mode&0o010 != 0 && int(gid) != os.Getegid() {
		return cannot(path, fmt.Sprintf("it is set-group-ID %s, and %s; run popcorn with that group", groupName(gid), why))
	}
	return nil
}

func userName(uid uint32) string {
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		return u.Username
	}
	return strconv.Itoa(int(uid))
}

func groupName(gid uint32) string {
	if g, err := user.LookupGroupId(strconv.Itoa(int(gid))); err == nil {
		return g.Name
	}
	return strconv.Itoa(int(gid))
}

// checkInterpreter looks at the program a script names in its first line.
func checkInterpreter(path string, head []byte) error {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return cannot(path, "its first line names no interpreter")
	}
	err := executable(words[0])
	if err != nil {
		return exitf(codeOf(err), "cannot execute %s: its interpreter: %w", path, err)
	}
	inner, fi, err := readHead(words[0])
	switch {
	case err != nil:
		return cannot(path, err.Error())
	case !bytes.HasPrefix(inner, []byte(elf.ELFMAG)):
		return nil // an interpreter that is a script itself: the kernel's affair
	case foreign(inner) != "":
		return cannot(words[0], foreign(inner))
	}
	return checkRights(words[0], fi)
}
