package sys

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Request numbers hold the size of what they take, so one proves the other.
func TestStructuresFitTheirRequests(t *testing.T) {
	for name, c := range map[string]struct {
		req  uint32
		size uintptr
	}{
		"UFFDIO_API":          {uffdioAPI, unsafe.Sizeof(uffdAPI{})},
		"UFFDIO_REGISTER":     {uffdioRegister, unsafe.Sizeof(uffdRegister{})},
		"UFFDIO_UNREGISTER":   {uffdioUnregister, unsafe.Sizeof(uffdRange{})},
		"UFFDIO_WAKE":         {uffdioWake, unsafe.Sizeof(uffdRange{})},
		"UFFDIO_COPY":         {uffdioCopy, unsafe.Sizeof(uffdCopy{})},
		"UFFDIO_ZEROPAGE":     {uffdioZeroPage, unsafe.Sizeof(uffdZeroPage{})},
		"UFFDIO_CONTINUE":     {uffdioContinue, unsafe.Sizeof(uffdZeroPage{})},
		"UFFDIO_POISON":       {uffdioPoison, unsafe.Sizeof(uffdZeroPage{})},
		"UFFDIO_WRITEPROTECT": {uffdioWriteProtect, unsafe.Sizeof(uffdWriteProtect{})},
		"NOTIF_RECV":          {unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Sizeof(seccompNotif{})},
		"NOTIF_SEND":          {unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Sizeof(seccompResp{})},
		"PAGEMAP_SCAN":        {pagemapScan, unsafe.Sizeof(pmScanArg{})},
		"PROCMAP_QUERY":       {procmapQueryReq, unsafe.Sizeof(procmapQuery{})},
	} {
		if got := uintptr(c.req >> 16 & 0x3fff); got != c.size {
			t.Errorf("%s: the kernel takes %d bytes, we have %d", name, got, c.size)
		}
	}
}

func TestStructuresHaveTheKernelsSizes(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"uffd_msg":         {unsafe.Sizeof(uffdMsg{}), 32},
		"sock_filter":      {unsafe.Sizeof(BPFInstr{}), BPFInstrSize},
		"sock_fprog":       {unsafe.Sizeof(sockFprog{}), 16},
		"user_regs_struct": {unsafe.Sizeof(Regs{}), 27 * 8},
		"page_region":      {unsafe.Sizeof(PageRegion{}), 24},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, c.got, c.want)
		}
	}
}

// addrOf is where b lies, as the kernel wants it in a request.
func addrOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// wordAt is the futex at b.
func wordAt(b []byte) *uint32 { return (*uint32)(unsafe.Pointer(unsafe.SliceData(b))) }
