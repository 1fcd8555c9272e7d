package sys

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// VMA is one mapping of a process as the kernel tells it.
type VMA struct {
	Start, End   uint64 // addresses, End excluded
	Offset       uint64 // of Start in the file, bytes
	Inode        uint64 // 0 for memory without a file
	Major, Minor uint32 // the file's device
	Read, Write  bool
	Exec, Shared bool
	Name         string // path, also with " (deleted)"; "[heap]" and such; "" for none
}

// maxMapsLine bounds a line of /proc/PID/maps: a path is at most PATH_MAX, each
// byte of which may be escaped to four.
const maxMapsLine = 32 << 10

// ParseMaps reads the text of /proc/PID/maps. A process that changes its
// mappings meanwhile gives a list that was never true at once.
func ParseMaps(r io.Reader) ([]VMA, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxMapsLine)
	var vmas []VMA
	for s.Scan() {
		v, err := parseMapsLine(s.Text())
		if err != nil {
			return nil, err
		}
		vmas = append(vmas, v)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read maps: %w", err)
	}
	return vmas, nil
}

// parseMapsLine parses "start-end rwxp offset major:minor inode   name", of
// which the name may hold spaces and may be missing.
func parseMapsLine(line string) (VMA, error) {
	var f [5]string
	rest := line
	for i := range f {
		f[i], rest, _ = strings.Cut(rest, " ")
	}
	start, end, _ := strings.Cut(f[0], "-")
	major, minor, _ := strings.Cut(f[3], ":")
	p := mapsParser{}
	v := VMA{
		Start:  p.uint(start, 16),
		End:    p.uint(end, 16),
		Offset: p.uint(f[2], 16),
		Major:  uint32(p.uint(major, 16)),
		Minor:  uint32(p.uint(minor, 16)),
		Inode:  p.uint(f[4], 10),
		Name:   unescape(strings.TrimLeft(rest, " ")),
	}
	if p.err != nil || len(f[1]) != 4 {
		return VMA{}, fmt.Errorf("parse line of maps %q: %w", line, EINVAL)
	}
	v.Read, v.Write, v.Exec = f[1][0] == 'r', f[1][1] == 'w', f[1][2] == 'x'
	v.Shared = f[1][3] == 's'
	return v, nil
}

// mapsParser keeps the first error of several numbers.
type mapsParser struct{ err error }

func (p *mapsParser) uint(s string, base int) uint64 {
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil && p.err == nil {
		p.err = err
	}
	return n
}

// unescape undoes what the kernel does to a newline in a path, the only byte it
// escapes there (show_vma_header_prefix, seq_path with "\n").
func unescape(s string) string { return strings.ReplaceAll(s, `\012`, "\n") }
