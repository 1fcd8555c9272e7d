package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"popcorn/internal/control"
)

func sampleOf(t *testing.T, id string, at time.Time, doc string) sample {
	t.Helper()
	s := sample{taken: at}
	if err := json.Unmarshal([]byte(doc), &s); err != nil {
		t.Fatal(err)
	}
	s.ID = id
	return s
}

// TestRates: what happened between two samples is per second; a job that is new, or
// silent, has no rates and is shown all the same.
func TestRates(t *testing.T) {
	const nodes = `"nodes":[{"nid":0,"name":"home","state":"online","threads":1},{"nid":1,"name":"b","addr":"b:1","state":"online","threads":1}],
		"threads":[{"tid":7,"node":0,"state":"home"},{"tid":8,"node":1,"state":"away"}],"command":["xz","-T4"],"state":"running",`
	start := time.Now()
	a := sampleOf(t, "aa11", start, `{`+nodes+`"stats":{"nodes":[{"nid":0,"cpu_seconds":1},{"nid":1,"cpu_seconds":5}],"migrations":{"count":3},
		"faults":{"read":{"count":10},"zero":{"count":100}},"bytes":1000000,"syscalls":{"read":{"forwarded":4}}}}`)
	b := sampleOf(t, "aa11", start.Add(2*time.Second), `{`+nodes+`"stats":{"nodes":[{"nid":0,"cpu_seconds":2},{"nid":1,"cpu_seconds":6.5}],"migrations":{"count":5},
		"faults":{"read":{"count":30},"write":{"count":8},"zero":{"count":102}},"bytes":5000000,"syscalls":{"read":{"forwarded":6},"write":{"forwarded":2}}}}`)
	fresh := b
	fresh.ID = "bb22"
	silent := sample{Info: control.Info{ID: "cc33", State: stateSilent}, taken: start}
	jobs := rates([]sample{a, silent}, []sample{b, fresh, silent})
	var text strings.Builder
	if err := topTable(&text, jobs); err != nil {
		t.Fatal(err)
	}
	if err := topDetails(&text, jobs[0]); err != nil {
		t.Fatal(err)
	}
	const want = `ID    NAME  STATE    THREADS  WHERE    CPU%  FAULTS/S  MB/S  MOVES/S  CALLS/S  COMMAND
aa11  -     running  2        0:1 1:1  125   14        2.0   1        2        xz -T4
bb22  -     running  2        0:1 1:1  0     0         0.0   0        0        xz -T4
cc33  -     silent   0        -        0     0         0.0   0        0        -

faults a second: 10 read, 4 write, 0 upgrade, 1 of zero pages

NODE  NAME  LINK    ADDRESS  THREADS  CPU%
0     home  online  -        1        50
1     b     online  b:1      1        75

ID    NAME  TID  NODE  STATE  COMM
aa11  -     7    0     home   -
aa11  -     8    1     away   -
`
	if got := text.String(); got != want {
		t.Errorf("shows\n%s\nwant\n%s", got, want)
	}
}
