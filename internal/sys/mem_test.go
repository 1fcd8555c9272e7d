package sys

import (
	"bytes"
	"runtime"
	"testing"
	"time"
)

func TestMemfdIsMappedAndPunched(t *testing.T) {
	fd := newMemfd(t, 4*PageSize)
	m, err := Mmap(fd, PageSize, 2*PageSize, PROT_READ|PROT_WRITE, MAP_SHARED)
	check(t, err)
	defer Munmap(m)
	_, err = Pwrite(fd, []byte("abc"), PageSize)
	check(t, err)
	if string(m[:3]) != "abc" {
		t.Errorf("mapping has %q", m[:3])
	}
	m[PageSize] = 9
	check(t, PunchHole(fd, PageSize, PageSize))
	if m[0] != 0 || m[PageSize] != 9 {
		t.Error("the hole is elsewhere")
	}
	b := make([]byte, 8)
	if n, err := Pread(fd, b, 2*PageSize); n != 8 || err != nil || b[0] != 9 {
		t.Errorf("read %d %x, %v", n, b, err)
	}
	check(t, Madvise(m, MADV_DONTNEED))
	if m[PageSize] != 9 {
		t.Error("the file lost what the mapping dropped")
	}
}

func TestFutexWakesAndTimesOut(t *testing.T) {
	m, err := Mmap(-1, 0, PageSize, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS)
	check(t, err)
	defer Munmap(m)
	word := wordAt(m)
	if err := FutexWait(word, 1, -1); err != EAGAIN {
		t.Errorf("wait for a change that was: %v", err)
	}
	if err := FutexWait(word, 0, time.Microsecond); err != ETIMEDOUT {
		t.Errorf("wait for nobody: %v", err)
	}
	done := make(chan error)
	go func() { done <- FutexWait(word, 0, -1) }()
	for woken := 0; woken == 0; runtime.Gosched() {
		woken, err = FutexWake(word, 1)
		check(t, err)
	}
	check(t, <-done)
}

func TestPagemapTellsTouched(t *testing.T) {
	const pages = 2*pagemapBatch + 6
	m, err := Mmap(-1, 0, pages*PageSize, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS)
	check(t, err)
	defer Munmap(m)
	check(t, Madvise(m, MADV_NOHUGEPAGE)) // one touch is one page
	fd := openSelf(t, "pagemap")
	expect := func(first, n int, want bool) {
		t.Helper()
		got, err := PagemapUntouched(fd, addrOf(m[first*PageSize:]), n)
		if got != want || err != nil {
			t.Errorf("pages %d+%d untouched: %v, %v", first, n, got, err)
		}
	}
	expect(0, pages, true)
	m[(pages-1)*PageSize] = 1
	expect(0, pages, false)
	expect(0, pages-1, true)
	_ = m[3*PageSize] // a read touches too
	runtime.KeepAlive(bytes.IndexByte(m[3*PageSize:4*PageSize], 1))
	expect(0, 4, false)
	expect(4, pages-5, true)

	regions := make([]PageRegion, 4)
	n, end, err := PagemapScan(fd, addrOf(m), addrOf(m)+uint64(len(m)), PageIsPresent|PageIsSwapped, regions)
	if err == ENOTTY {
		t.Skip("PAGEMAP_SCAN: ", err)
	}
	check(t, err)
	if n != 2 || regions[0].Start != addrOf(m[3*PageSize:]) || regions[1].End != end {
		t.Errorf("regions %x up to %#x", regions[:n], end)
	}
}

func TestPagemapOfTheDeadIsAnError(t *testing.T) {
	r, w, err := Pipe(O_CLOEXEC)
	check(t, err)
	Close(w)
	defer Close(r)
	if _, err := PagemapUntouched(r, 0, 1); err == nil {
		t.Error("read from a pipe as if it were a pagemap")
	}
}

func openSelf(t *testing.T, name string) int {
	t.Helper()
	fd, err := Open("/proc/self/"+name, O_RDONLY|O_CLOEXEC, 0)
	check(t, err)
	t.Cleanup(func() { Close(fd) })
	return fd
}
