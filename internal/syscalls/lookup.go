package syscalls

import (
	"slices"
	"strconv"
)

// Entry is one system call of x86-64 Linux. As JSON it is a row of the support
// table.
type Entry struct {
	Nr    int    `json:"number"`
	Name  string `json:"name"`
	Class Class  `json:"class"`
	Note  string `json:"note,omitempty"`
}

// Popcorn's own numbers.
const (
	Migrate          = 900
	ProposeMigration = 901
	GetThreadStatus  = 902
	GetNodeInfo      = 903
	Telefork         = 904
	Checkpoint       = 905
)

const tableEnd = Checkpoint + 1

// index is the table by number; an entry without a name is unassigned.
var index = func() (a [tableEnd]Entry) {
	for _, e := range table {
		a[e.Nr] = e
	}
	return a
}()

var names = func() map[string]int {
	m := make(map[string]int, len(table))
	for _, e := range table {
		m[e.Name] = e.Nr
	}
	return m
}()

// Lookup is the entry of a number. One that is not in the table, the x32 calls
// among them, goes home: there the kernel itself says what it is.
func Lookup(nr int) Entry {
	if nr >= 0 && nr < tableEnd && index[nr].Name != "" {
		return index[nr]
	}
	return Entry{Nr: nr, Name: "syscall_" + strconv.Itoa(nr), Class: GoHome, Note: "unknown number"}
}

// LookupCall is Lookup for a call whose arguments are known, on which the class
// of a few depends: prctl by its option, and a wait under another signal mask
// (MaskArg) goes home, for a handler must run before the mask is put back.
func LookupCall(nr int, args [6]uint64) Entry {
	e := Lookup(nr)
	if nr == prctl && forwardedPrctl(int32(args[0])) {
		e.Class = Home
	}
	if m := MaskArg(nr); m >= 0 && args[m] != 0 {
		e.Class = GoHome
	}
	return e
}

// ByName is the entry of a name as strace prints it.
func ByName(name string) (Entry, bool) {
	nr, ok := names[name]
	if !ok {
		return Entry{}, false
	}
	return index[nr], true
}

// All is the table in order of number.
func All() []Entry { return slices.Clone(table) }

// Numbers is the numbers of a class, in order.
func Numbers(c Class) []int {
	var n []int
	for _, e := range table {
		if e.Class == c {
			n = append(n, e.Nr)
		}
	}
	return n
}
