package syscalls

const prctl = 157

// forwardedPrctl tells whether a prctl option may be executed by the shadow:
// those that read or set what belongs to the identity of the thread or process
// at the origin, and nothing in its registers, memory or filters. Numbers:
// include/uapi/linux/prctl.h; the option is an int for the kernel.
func forwardedPrctl(option int32) bool {
	switch option {
	case 1, 2, // PR_SET_PDEATHSIG, PR_GET_PDEATHSIG
		3, 4, // PR_GET_DUMPABLE, PR_SET_DUMPABLE
		7, 8, // PR_GET_KEEPCAPS, PR_SET_KEEPCAPS
		15, 16, // PR_SET_NAME, PR_GET_NAME
		23, 24, // PR_CAPBSET_READ, PR_CAPBSET_DROP
		27, 28, // PR_GET_SECUREBITS, PR_SET_SECUREBITS
		29, 30, // PR_SET_TIMERSLACK, PR_GET_TIMERSLACK
		36, 37, // PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER
		38, 39, // PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS
		40,         // PR_GET_TID_ADDRESS
		42,         // PR_GET_THP_DISABLE
		47,         // PR_CAP_AMBIENT
		0x53564d41, // PR_SET_VMA, by which allocators name their mappings
		0x59616d61: // PR_SET_PTRACER
		return true
	}
	return false
}
