package syscalls

import "fmt"

// ABI is a family of numbers by which programs make Popcorn's calls. 900 to
// 905 belong to every family; the older families took numbers that other calls
// have today, so a program built for one has to say so.
type ABI struct {
	Name  string
	calls map[int]int
}

var abis = map[string]ABI{
	"": {"", nil},
	// The 4.4 kernels: today pkey_alloc, pkey_free, statx, io_pgetevents.
	"4.4": {"4.4", map[int]int{330: Migrate, 331: ProposeMigration, 332: GetThreadStatus, 333: GetNodeInfo}},
	// The patch set of 2020: today pidfd_open, clone3, close_range.
	"rfc": {"rfc", map[int]int{434: Migrate, 435: GetThreadStatus, 436: GetNodeInfo}},
}

// ParseABI is the family of a name: "" (only 900 to 905), "4.4" or "rfc".
func ParseABI(name string) (ABI, error) {
	a, ok := abis[name]
	if !ok {
		return ABI{}, fmt.Errorf("unknown abi %q, use 4.4 or rfc", name)
	}
	return a, nil
}

// Popcorn tells which of Popcorn's calls (Migrate to Checkpoint) a program of
// family a means by nr, if any.
func (a ABI) Popcorn(nr int) (call int, ok bool) {
	if nr >= Migrate && nr <= Checkpoint {
		return nr, true
	}
	call, ok = a.calls[nr]
	return call, ok
}

// Numbers is every number that means one of Popcorn's calls in family a, for
// the filter that traps them. In no particular order.
func (a ABI) Numbers() []int {
	n := []int{Migrate, ProposeMigration, GetThreadStatus, GetNodeInfo, Telefork, Checkpoint}
	for nr := range a.calls {
		n = append(n, nr)
	}
	return n
}
