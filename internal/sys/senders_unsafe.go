package sys

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Go tells of a signal that it came, but not from whom. So a handler of ours notes
// that, in two sets beside Go's own of what came and was not looked at yet, and calls
// Go's. Bit N-1 is signal N, of the first 32.
var (
	sentByKernel, sentByProcess, everNoted atomic.Uint32
	goHandler                              uintptr // of all signals
)

func noteSenderPC() uintptr

// kernelSigaction is struct sigaction of arch/x86/include/uapi/asm/signal.h.
type kernelSigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

func rtSigaction(sig Signal, set, old *kernelSigaction) error {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)),
		unsafe.Sizeof(set.mask), 0, 0)
	return toErr(e)
}

// WatchSenders has Sent tell who sent the signals, which the caller has just asked for
// with os/signal.Notify and which are below 32.
func WatchSenders(signals ...Signal) error {
	for _, s := range signals {
		var a kernelSigaction
		if err := rtSigaction(s, nil, &a); err != nil {
			return fmt.Errorf("read handler of signal %d: %w", s, err)
		}
		if a.handler == noteSenderPC() {
			continue
		}
		if goHandler != 0 && a.handler != goHandler {
			return fmt.Errorf("signal %d does not have the handler of the others", s)
		}
		goHandler = a.handler
		a.handler = noteSenderPC()
		if err := rtSigaction(s, &a, nil); err != nil {
			return fmt.Errorf("set handler of signal %d: %w", s, err)
		}
	}
	return nil
}

// Sent tells who sent a signal that os/signal has just told of, since it was last
// asked: the kernel (a terminal, a timer) or a process, by kill(2). It may have been
// both, and neither: it was told of in an earlier answer, or SIGCONT discarded it, as
// stop signals and SIGCONT do with each other where they are pending. What came before
// WatchSenders is from a process.
func Sent(sig Signal) (byKernel, byProcess bool) {
	bit := uint32(1) << (sig - 1)
	byKernel = sentByKernel.And(^bit)&bit != 0
	byProcess = sentByProcess.And(^bit)&bit != 0
	return byKernel, byProcess || everNoted.Load()&bit == 0
}
