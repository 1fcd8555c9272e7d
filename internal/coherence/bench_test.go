package coherence

import (
	"testing"

	"popcorn/internal/vm"
)

// pump carries messages between two machines until silence.
func pump(ms []*Machine, buf []Effect) []Effect {
	for busy := true; busy; {
		busy = false
		for id, m := range ms {
			for {
				buf = m.Drain(buf[:0])
				if len(buf) == 0 {
					break
				}
				busy = true
				for _, e := range buf {
					if e.Kind == Send || e.Kind == SendData {
						ms[e.To].Receive(0, NodeID(id), e.Msg)
					}
				}
			}
		}
	}
	return buf
}

func pair() []*Machine { return []*Machine{New(Config{}), New(Config{Self: 1})} }

// BenchmarkReadFault is a page read at a remote and taken back by home's write:
// all machine work of a read fault and of an invalidation.
func BenchmarkReadFault(b *testing.B) {
	ms, buf := pair(), make([]Effect, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		ms[1].Fault(0, 5, Read, 1)
		buf = pump(ms, buf)
		ms[0].Fault(0, 5, Write, 1)
		buf = pump(ms, buf)
	}
}

// BenchmarkPingPong is a page written by both in turn: two write faults.
func BenchmarkPingPong(b *testing.B) {
	ms, buf := pair(), make([]Effect, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		ms[1].Fault(0, 5, Write, 1)
		buf = pump(ms, buf)
		ms[0].Fault(0, 5, Write, 1)
		buf = pump(ms, buf)
	}
}

// BenchmarkSequential reads 256 MiB in runs of 16 pages; the metric is per page.
func BenchmarkSequential(b *testing.B) {
	const pages = 256 << 20 >> vm.PageShift
	b.ReportAllocs()
	for b.Loop() {
		ms, buf := pair(), make([]Effect, 0, 16)
		for p := vm.Page(0); p < pages; p += 16 {
			ms[1].Fault(0, p, Read, 16)
			buf = pump(ms, buf)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pages, "ns/page")
}

// BenchmarkForgetHuge forgets 64 GiB of which one chunk was ever wanted.
func BenchmarkForgetHuge(b *testing.B) {
	ms, buf := pair(), make([]Effect, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		ms[1].Fault(0, 5, Read, 1)
		buf = pump(ms, buf)
		ms[0].Forget(0, 1, []vm.Run{{First: 0, N: 16 << 20}})
		buf = pump(ms, buf)
		ms[0].Release(0, 1)
	}
}
