package carry

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"popcorn/internal/guest"
	"popcorn/internal/image"
	"popcorn/internal/sys"
	"popcorn/internal/vm"
)

// lookMappings learns what is mapped where.
func (d *Draft) lookMappings() error {
	vmas, err := d.s.Proc.VMAs()
	if err != nil {
		return err
	}
	if err := d.learnFlags(vmas); err != nil {
		return err
	}
	d.direct, d.whole = nil, map[uint64]bool{}
	objects := map[[2]uint64]int{}
	for _, v := range vmas {
		if guest.AgentRange().Overlaps(vm.Range{Start: vm.Addr(v.Start), End: vm.Addr(v.End)}) {
			if !d.s.Distributed && !d.s.Proc.HasAgent() {
				d.obstacle(place(v), d.owner(), "popcorn needs this range of addresses", "nothing to be done")
			}
			continue
		}
		d.lookMapping(v, d.flags[v.Start], objects)
	}
	if d.s.Proc.AgentStays() {
		d.obstacle("[vdso]", d.owner(), "it is another kernel's, under which the program was saved", "nothing to be done yet")
	}
	image, _, err := d.s.Proc.VDSO()
	d.Image.Process.VDSO = image
	return err
}

// place names a mapping in an obstacle.
func place(v sys.VMA) string {
	if v.Name == "" {
		return fmt.Sprintf("memory at %#x", v.Start)
	}
	return fmt.Sprintf("mapping of %s at %#x", v.Name, v.Start)
}

func (d *Draft) lookMapping(v sys.VMA, flags string, objects map[[2]uint64]int) {
	m := image.Mapping{Start: v.Start, End: v.End, Prot: prot(v), Shared: v.Shared, Offset: v.Offset}
	switch kind := d.kindOf(v); kind {
	case "":
		return
	case image.OfKernel:
		m.Kind, m.Name = kind, v.Name
	case image.Anonymous:
		m.Kind, m.Offset = kind, 0
		m.Name = strings.TrimSuffix(strings.TrimPrefix(v.Name, "[anon:"), "]")
		if !strings.HasPrefix(v.Name, "[anon:") {
			m.Name = ""
		}
		m.GrowsDown = has(flags, "gd")
		d.whole[m.Start] = v.Inode != 0
	case image.OfObject:
		m.Kind = kind
		m.Object = d.object(v, objects)
		d.direct = append(d.direct, image.Range{Start: v.Start, End: v.End})
	case image.OfFile:
		if !d.fileMapping(v, &m) {
			return
		}
	}
	d.takeFlags(&m, flags)
	d.Image.Process.Mappings = append(d.Image.Process.Mappings, m)
}

func prot(v sys.VMA) (p uint64) {
	if v.Read {
		p |= sys.PROT_READ
	}
	if v.Write {
		p |= sys.PROT_WRITE
	}
	if v.Exec {
		p |= sys.PROT_EXEC
	}
	return p
}

// kindOf is empty for what is no mapping of the program, or an obstacle.
func (d *Draft) kindOf(v sys.VMA) image.Kind {
	no := func(why, do string) image.Kind {
		d.obstacle(place(v), d.owner(), why, do)
		return ""
	}
	switch {
	case v.Name == "[vsyscall]", v.Name == "[uprobes]":
		return ""
	case strings.HasPrefix(v.Name, "[vdso]"), strings.HasPrefix(v.Name, "[vvar"):
		return image.OfKernel
	case v.Inode == 0 && !v.Shared && !strings.HasPrefix(v.Name, "/"):
		return image.Anonymous
	case v.Name == "/dev/zero" && !v.Shared:
		return image.Anonymous
	case v.Name == "/dev/zero (deleted)", strings.HasPrefix(v.Name, "/memfd:"), strings.HasPrefix(v.Name, "[anon_shmem:"):
		if !v.Shared {
			return image.Anonymous // its own copy of what the file was
		}
		return image.OfObject
	case strings.HasPrefix(v.Name, "/SYSV"):
		return no("System V shared memory is not carried yet", "nothing to be done yet")
	case strings.HasPrefix(v.Name, "/anon_hugepage"), strings.HasPrefix(v.Name, "anon_inode:"), strings.HasPrefix(v.Name, "socket:"),
		strings.HasPrefix(v.Name, "/dev/") && !strings.HasPrefix(v.Name, "/dev/shm/"), !strings.HasPrefix(v.Name, "/"):
		return no("memory of devices, of io_uring and of huge-page files is not carried", "have the program unmap it")
	}
	return image.OfFile
}

// object is the index of the memory that v maps.
func (d *Draft) object(v sys.VMA, known map[[2]uint64]int) int {
	key := [2]uint64{sys.Mkdev(v.Major, v.Minor), v.Inode}
	i, ok := known[key]
	if !ok {
		i = len(d.Image.Process.Objects)
		known[key] = i
		d.Image.Process.Objects = append(d.Image.Process.Objects, image.Object{Name: memfdName(v.Name)})
	}
	o := &d.Image.Process.Objects[i]
	o.Size = max(o.Size, v.Offset+v.End-v.Start)
	return i
}

func memfdName(path string) string {
	name, ok := strings.CutPrefix(strings.TrimSuffix(path, " (deleted)"), "/memfd:")
	if !ok {
		return ""
	}
	return name
}

// fileMapping notes the file of v; false when it cannot be carried.
func (d *Draft) fileMapping(v sys.VMA, m *image.Mapping) bool {
	st, err := sys.StatFile(d.path(fmt.Sprintf("map_files/%x-%x", v.Start, v.End)))
	if err != nil { // it takes rights to follow that link
		st, err = sys.StatFile(v.Name)
		if err == nil && st.Ino != v.Inode {
			err = sys.ENOENT
		}
	}
	f := identify(strings.TrimSuffix(v.Name, " (deleted)"), st)
	f.Deleted = f.Deleted || err != nil
	switch {
	case f.Deleted && v.Shared:
		d.obstacle(place(v), d.owner(), "the file has been removed or replaced, and the mapping is shared", "put the file back")
		return false
	case f.Deleted: // it becomes memory with the same content
		m.Kind, m.Offset = image.Anonymous, 0
		d.whole[m.Start] = true
		return true
	}
	m.Kind, m.File = image.OfFile, &f
	return true
}

// advice is what VmFlags of proc_pid_smaps(5) say that madvise(2) did.
var advice = map[string]int{"sr": sys.MADV_SEQUENTIAL, "rr": sys.MADV_RANDOM, "dc": sys.MADV_DONTFORK, "dd": sys.MADV_DONTDUMP,
	"wf": sys.MADV_WIPEONFORK, "hg": sys.MADV_HUGEPAGE, "nh": sys.MADV_NOHUGEPAGE, "mg": madvMergeable}

const madvMergeable = 12

func (d *Draft) takeFlags(m *image.Mapping, flags string) {
	for _, f := range strings.Fields(flags) {
		if a, ok := advice[f]; ok && m.Kind != image.OfKernel {
			m.Advice = append(m.Advice, a)
		}
		switch f {
		case "lo":
			m.Locked = true
		case "nr":
			m.NoReserve = true
		case "mw":
			m.Writable = m.Shared
		}
	}
	if (has(flags, "dc") || has(flags, "wf")) && m.Kind == image.Anonymous {
		d.direct = append(d.direct, image.Range{Start: m.Start, End: m.End})
	}
	if has(flags, "dp") { // droppable memory (MAP_DROPPABLE): as for distribution, it is kept
		m.Advice = append(m.Advice, sys.MADV_WIPEONFORK)
	}
	if has(flags, "um") || has(flags, "uw") {
		if !d.s.Distributed {
			d.obstacle(fmt.Sprintf("memory at %#x", m.Start), d.owner(), "it is under a userfaultfd of the program's own", "nothing to be done yet")
		}
	}
}

func has(flags, f string) bool { return strings.Contains(" "+flags+" ", " "+f+" ") }

func (d *Draft) learnFlags(vmas []sys.VMA) (err error) {
	d.vmas = vmas
	if b := d.s.Before; b != nil && slices.Equal(b.vmas, vmas) {
		d.flags = b.flags
		return nil
	}
	d.flags, err = d.readFlags()
	return err
}

// readFlags is the VmFlags of every mapping by its start.
func (d *Draft) readFlags() (map[uint64]string, error) {
	f, err := os.Open(d.path("smaps"))
	if err != nil {
		return nil, fmt.Errorf("read mappings: %w", err)
	}
	defer f.Close()
	out := map[uint64]string{}
	var at uint64
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 4096), 64<<10)
	for lines.Scan() {
		line := lines.Text()
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok {
			out[at] = strings.TrimSpace(flags)
			continue
		}
		first, _, _ := strings.Cut(line, " ")
		if start, _, ok := strings.Cut(first, "-"); ok {
			at, _ = strconv.ParseUint(start, 16, 64)
		}
	}
	return out, lines.Err()
}
