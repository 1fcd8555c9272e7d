package bench

import (
	"context"
	"encoding/binary"
	"testing"
)

func output(words ...uint64) []byte {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func TestParseConvertsTicks(t *testing.T) {
	// 1000 ticks took 500 ns.
	s, err := parse(output(0, 0, uint64(getppid), 2, 10, 20, uint64(back), 1, 4, 1000, 500))
	if err != nil {
		t.Fatal(err)
	}
	if got := s[getppid]; len(got) != 2 || got[0] != 5 || got[1] != 10 {
		t.Errorf("getppid: %v, want [5 10]", got)
	}
	if got := s[back]; len(got) != 1 || got[0] != 2 {
		t.Errorf("back: %v, want [2]", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"half a word":      make([]byte, 36),
		"no time passed":   output(5, 0, 5, 500),
		"a record too big": output(0, 0, uint64(getppid), 3, 1, 1000, 500),
		"half a record":    output(0, 0, uint64(getppid), 1000, 500),
		"a huge count":     output(0, 0, uint64(getppid), 1<<63, 1, 1000, 500),
	} {
		if s, err := parse(b); err == nil {
			t.Errorf("%s: got %v, want an error", name, s)
		}
	}
}

func TestRatioIsOfTheSameRound(t *testing.T) {
	r := row{what: readFault, floorMode: "floor", floorWhat: writeFault, bound: 2}
	of := func(here, floor float64) round {
		return round{samples{readFault: {here}}, samples{writeFault: {floor}}}
	}
	// The machine was ten times slower in one round: that is not our doing.
	got := r.evaluate([]round{of(15, 10), of(150, 100), of(30, 10)})
	if got.Ratio != 1.5 || !got.Kept() {
		t.Errorf("ratio %v, kept %v; want 1.5 and kept", got.Ratio, got.Kept())
	}
	if got = r.evaluate([]round{of(30, 10)}); got.Kept() {
		t.Error("ratio 3 is kept, with a bound of 2")
	}
}

// TestEncryptedBesidePlain: the floor of an encrypted fault is the plain one.
func TestEncryptedBesidePlain(t *testing.T) {
	r := row{what: encryptedFault, floorWhat: readFault, bound: 1.5}
	got := r.evaluate([]round{{samples{readFault: {7}, encryptedFault: {12}}, samples{readFault: {1}, encryptedFault: {10}}}})
	if got.Ratio != 1.2 || !got.Kept() {
		t.Errorf("ratio %v, kept %v; want 1.2 and kept", got.Ratio, got.Kept())
	}
}

func TestThroughputWantsMore(t *testing.T) {
	r := row{what: stream, floorWhat: stream, bound: 0.6}
	second := float64(1e9)
	got := r.evaluate([]round{{samples{stream: {2 * second}}, samples{stream: {second}}}})
	if got.Ratio != 0.5 || got.Kept() || got.Floor.P50 < 268 || got.Floor.P50 > 269 {
		t.Errorf("%+v: want ratio 0.5, missed, floor 268 MB/s", got)
	}
}

// TestFloorsRun has the program that comes with the package take its floors.
func TestFloorsRun(t *testing.T) {
	f, err := guestFile()
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	b := &bench{guest: pathOf(f)}
	for _, r := range rows {
		if r.isBulk() || r.floorMode == "" {
			continue // 256 MiB each; not the program's own
		}
		s := samples{}
		if err := b.run(context.Background(), s, b.guest, r.floorMode); err != nil {
			t.Errorf("%s: %v", r.name, err)
		} else if len(s[r.floorWhat]) == 0 {
			t.Errorf("%s: no samples", r.name)
		}
	}
}
