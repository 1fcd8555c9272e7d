package sys

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

const someMaps = `00400000-00452000 r-xp 00001000 08:02 173521                             /usr/bin/a name with  spaces
00e03000-00e24000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000001000 rw-s 00000000 00:01 1034                       /memfd:x (deleted)
7f0000001000-7f0000002000 ---p 00000000 00:00 0 
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`

func TestParseMaps(t *testing.T) {
	want := []VMA{
		{Start: 0x400000, End: 0x452000, Offset: 0x1000, Inode: 173521, Major: 8, Minor: 2, Read: true, Exec: true,
			Name: "/usr/bin/a name with  spaces"},
		{Start: 0xe03000, End: 0xe24000, Read: true, Write: true, Name: "[heap]"},
		{Start: 0x7f0000000000, End: 0x7f0000001000, Inode: 1034, Minor: 1, Read: true, Write: true, Shared: true,
			Name: "/memfd:x (deleted)"},
		{Start: 0x7f0000001000, End: 0x7f0000002000},
		{Start: 0xffffffffff600000, End: 0xffffffffff601000, Exec: true, Name: "[vsyscall]"},
	}
	got, err := ParseMaps(strings.NewReader(someMaps))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseMapsRefusesNonsense(t *testing.T) {
	for _, line := range []string{"", "x", "1-2 rwxp 0 0:0", "1-2 rw 0 0:0 0", "1-zz rwxp 0 0:0 0", "1 rwxp 0 0:0 0"} {
		if got, err := ParseMaps(strings.NewReader(line + "\n")); !errors.Is(err, EINVAL) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
}

func FuzzParseMaps(f *testing.F) {
	f.Add(someMaps)
	f.Fuzz(func(t *testing.T, text string) {
		vmas, err := ParseMaps(strings.NewReader(text))
		if err != nil && vmas != nil {
			t.Errorf("an error and %d mappings", len(vmas))
		}
	})
}

// The two ways to learn of a mapping agree.
func TestQueryVMAAgreesWithMaps(t *testing.T) {
	fd := newMemfd(t, 8*PageSize)
	m, err := Mmap(fd, 2*PageSize, 3*PageSize, PROT_READ, MAP_SHARED)
	check(t, err)
	defer Munmap(m)
	maps, err := os.Open("/proc/self/maps")
	check(t, err)
	defer maps.Close()
	vmas, err := ParseMaps(maps)
	check(t, err)
	var parsed VMA
	for _, v := range vmas {
		if v.Start == addrOf(m) {
			parsed = v
		}
	}
	if parsed.Name != "/memfd:test (deleted)" || parsed.Offset != 2*PageSize || !parsed.Shared || parsed.Write {
		t.Errorf("parsed %+v", parsed)
	}
	asked, err := QueryVMA(int(maps.Fd()), addrOf(m)+PageSize+1)
	if err == ENOTTY {
		t.Skip("PROCMAP_QUERY: ", err)
	}
	check(t, err)
	if asked != parsed {
		t.Errorf("asked %+v, parsed %+v", asked, parsed)
	}
	if v, err := QueryVMA(int(maps.Fd()), 0); err != ENOENT {
		t.Errorf("address 0: %+v, %v", v, err)
	}
}
