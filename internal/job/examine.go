package job

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"popcorn/internal/control"
	"popcorn/internal/guest"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// Examine tells why a running process cannot be attached to, before anything is
// done to it; nil when nothing speaks against it. Errors are control.ErrRefused,
// or control.ErrNoSuchJob when there is no such process.
func Examine(pid int) error {
	return examine(pid, notAProcess, ourOwn, tracedAlready, otherUser, otherNamespace, otherCode, filtered, ignoresTraps,
		holdsKernelObjects, noFaults, agentInTheWay)
}

// examineFoster is Examine for the child of a job, which lives under filters of ours
// and has its parent's agent.
func examineFoster(pid int) error {
	return examine(pid, tracedAlready, otherUser, ignoresTraps, holdsKernelObjects, noFaults)
}

// examineFollowed is Examine for a child of a job that runs.
func (f *Foster) examineFollowed() error {
	if err := f.ended(); err != nil {
		return err
	}
	return examine(f.PID, f.filteredSince, ourOwn, tracedAlready, otherUser, otherNamespace, otherCode, ignoresTraps, holdsKernelObjects, noFaults)
}

// filteredSince refuses a child with other filters than those it was born with.
func (f *Foster) filteredSince(pid int, status map[string]string) string {
	if status["Seccomp_filters"] == f.Filters {
		return ""
	}
	return filtered(pid, status)
}

// ended tells that the child which runs is not there any more.
func (f *Foster) ended() error {
	if _, err := readStatus(f.PID); err != nil || startOf(f.PID) != f.Started {
		return fmt.Errorf("process %d: %w", f.PID, errors.Join(control.ErrNoSuchJob, err))
	}
	return nil
}

// startOf is when a process began, empty when it is gone.
func startOf(pid int) string {
	const startTime = 22
	f, err := sys.ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || len(f) <= startTime {
		return ""
	}
	return f[startTime]
}

func examine(pid int, all ...func(int, map[string]string) string) error {
	status, err := readStatus(pid)
	if err != nil {
		return fmt.Errorf("process %d: %w: %w", pid, control.ErrNoSuchJob, err)
	}
	for _, why := range all {
		if reason := why(pid, status); reason != "" {
			return fmt.Errorf("process %d (%s): %s: %w", pid, status["Name"], reason, control.ErrRefused)
		}
	}
	return nil
}

// readStatus is /proc/PID/status, whose lines are name and value.
func readStatus(pid int) (map[string]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	ending := fields["VmSize"] == "" && !ofKernel(fields)
	if state := fields["State"]; strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X") || ending {
		return nil, errors.New("it has ended already")
	}
	return fields, nil
}

// ofKernel tells whether a process is a thread of the kernel, which Linux 6.11 and newer
// say of themselves; kthreadd makes them.
func ofKernel(status map[string]string) bool {
	const kthreadd = "2"
	is, known := status["Kthread"]
	return is == "1" || !known && (status["PPid"] == kthreadd || status["Pid"] == kthreadd)
}

func notAProcess(pid int, status map[string]string) string {
	switch {
	case status["Tgid"] != strconv.Itoa(pid):
		return "it is a thread of process " + status["Tgid"] + ": give that number"
	case pid == 1:
		return "it is the first process of this system"
	case ofKernel(status):
		return "it is a thread of the kernel"
	}
	return ""
}

// ourOwn is told by the executable: supervisors and commands have the same one.
func ourOwn(pid int, _ map[string]string) string {
	self, err1 := os.Stat("/proc/self/exe")
	its, err2 := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err1 == nil && err2 == nil && os.SameFile(self, its) {
		return "it is popcorn itself"
	}
	return ""
}

func tracedAlready(pid int, status map[string]string) string {
	by := status["TracerPid"]
	if by == "0" || by == "" {
		return ""
	}
	if e, err := control.Find(strconv.Itoa(pid)); err == nil && e.PID == pid {
		return "it is job " + e.ID + " already"
	}
	name, _ := os.ReadFile("/proc/" + by + "/comm")
	return fmt.Sprintf("it is traced by process %s (%s), and only one can", by, bytes.TrimSpace(name))
}

func otherUser(pid int, _ map[string]string) string {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // asks the kernel whether we may trace it
	if errors.Is(err, os.ErrPermission) {
		return "this user may not trace it: it is another user's, or has rights of its own (set-user-ID, not dumpable); root may"
	}
	return ""
}

func otherNamespace(pid int, _ map[string]string) string {
	ours, err1 := os.Readlink("/proc/self/ns/pid")
	its, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err1 == nil && err2 == nil && ours != its {
		return "it is in another pid namespace (a container), where its threads have other numbers; run popcorn in there"
	}
	return ""
}

// otherCode refuses programs of another instruction set.
func otherCode(pid int, _ map[string]string) string {
	f, err := elf.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "its program cannot be read: " + err.Error()
	}
	defer f.Close()
	if f.Class != elf.ELFCLASS64 || f.Machine != guest.ELFMachine {
		return fmt.Sprintf("it is a program for %v, %v", f.Machine, f.Class)
	}
	return ""
}

// filtered refuses programs whose own filter could kill them for a call that is
// made in them for us.
func filtered(_ int, status map[string]string) string {
	if s := status["Seccomp"]; s != "" && s != "0" {
		return "it lives under a seccomp filter, which may forbid the calls that have to be made in it"
	}
	return ""
}

// ignoresTraps refuses programs that would find SIGTRAP no longer ignored: the
// kernel resets that when the agent traps (force_sig_info_to_task, kernel/signal.c).
func ignoresTraps(_ int, status map[string]string) string {
	if set, err := strconv.ParseUint(status["SigIgn"], 16, 64); err == nil && has(set, sys.SIGTRAP) {
		return "it ignores SIGTRAP, which popcorn needs to stop it"
	}
	return ""
}

// holdsKernelObjects refuses what the kernel would use memory by behind our back.
func holdsKernelObjects(pid int, _ map[string]string) string {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is right
	for _, l := range links {
		switch what, _ := os.Readlink(l); what { // gone: closed meanwhile
		case "anon_inode:[io_uring]":
			return "it uses io_uring, by which the kernel reads and writes its memory at any time"
		case "anon_inode:[userfaultfd]":
			return "it handles page faults of its own by userfaultfd"
		}
	}
	return ""
}

// noFaults refuses programs that may not have a userfaultfd, without which none of
// their threads could ever leave.
func noFaults(_ int, status map[string]string) string {
	if sys.MayFault(status["CapEff"], status["Uid"], status["Gid"], status["Groups"]) {
		return ""
	}
	return "its user may not use userfaultfd; sysctl vm.unprivileged_userfaultfd=1, or access to " + sys.DevUFFD + ", allows it"
}

// agentInTheWay refuses programs with something where the agent would be put.
func agentInTheWay(pid int, _ map[string]string) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return "its mappings cannot be read: " + err.Error()
	}
	defer f.Close()
	all, err := sys.ParseMaps(f)
	if err != nil {
		return "its mappings cannot be read: " + err.Error()
	}
	vdso := false
	for _, v := range all {
		r := vm.Range{Start: vm.Addr(v.Start), End: vm.Addr(v.End)}
		if r.Overlaps(guest.AgentRange()) {
			return fmt.Sprintf("it uses %v, where popcorn has to put its agent", r)
		}
		vdso = vdso || v.Name == "[vdso]"
	}
	if !vdso {
		return "it has no vDSO"
	}
	return ""
}
