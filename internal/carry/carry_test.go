package carry

import (
	"reflect"
	"testing"

	"popcorn/internal/image"
)

func TestParseLocks(t *testing.T) {
	text := "pos:\t0\nflags:\t02\nlock:\t1: POSIX  ADVISORY  WRITE 4711 fe:00:123 10 14\n" +
		"lock:\t2: FLOCK  ADVISORY  READ 4711 fe:00:123 0 EOF\n"
	want := []image.Lock{{Kind: "POSIX", Write: true, Start: 10, End: 15}, {Kind: "FLOCK", End: -1}}
	if got := parseLocks(text); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseWatches(t *testing.T) {
	text := "pos:\t0\ntfd:        5 events:       19 data: 123456789abcdef  pos:0 ino:3c sdev:9\n"
	want := []image.Watch{{FD: 5, Events: 0x19, Data: 0x123456789abcdef, File: -1}}
	if got := parseWatches(text); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Pieces are joined within a mapping only, and only until they are few enough.
func TestFew(t *testing.T) {
	const page = 4096
	var sparse []image.Segment
	for i := range uint64(mostPieces + 10) {
		sparse = append(sparse, image.Segment{Start: 2 * i * page, Filesz: page, Memsz: page})
	}
	last := sparse[len(sparse)-1].Start + page
	other := []image.Segment{{Start: last, Filesz: page, Memsz: page}}
	got := few([][]image.Segment{sparse, other})
	if len(got) != 2 || got[0].Start != 0 || got[0].Filesz != last || got[1].Start != last {
		t.Errorf("%d pieces, the first %+v", len(got), got[0])
	}
	if got := few([][]image.Segment{sparse[:5], other}); len(got) != 6 {
		t.Errorf("%d pieces, want the 6 there were", len(got))
	}
}

func TestTimerLines(t *testing.T) {
	var d Draft
	tm := image.Timer{ID: 3}
	d.timerLine(&tm, "signal", "36/000000000000002a")
	d.timerLine(&tm, "notify", "signal/tid.4712")
	d.timerLine(&tm, "ClockID", "1")
	if le.Uint64(tm.Event) != 42 || le.Uint32(tm.Event[8:]) != 36 || le.Uint32(tm.Event[12:]) != 4 || le.Uint32(tm.Event[16:]) != 4712 || tm.Clock != 1 {
		t.Errorf("got %+v", tm)
	}
}
