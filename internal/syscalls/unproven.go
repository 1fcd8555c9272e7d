package syscalls

// Unproven is the calls without a test at a remote, and why they have none.
var Unproven = map[string]string{
	"vhangup":   "it would hang up the terminal of who runs the tests",
	"sync":      "it takes as long as the disks of the machine do",
	"uretprobe": "legal in the kernel's own probes only: ends the program",
	"uprobe":    "legal in the kernel's own probes only: ends the program",
}
