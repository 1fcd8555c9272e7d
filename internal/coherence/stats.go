package coherence

// Stats counts what a machine did. All counts are since New.
type Stats struct {
	ReadFaults    uint64 // faults for reading that needed home
	WriteFaults   uint64 // faults for writing that needed home, no copy here
	UpgradeFaults uint64 // faults for writing that needed home, a copy here
	Spurious      uint64 // faults for what was here already
	Merged        uint64 // faults that joined an outstanding request
	PagesIn       uint64 // pages installed with data
	ZerosIn       uint64 // pages installed as zeros
	Prefetched    uint64 // of both, pages beyond the one that was faulted on
	PagesOut      uint64 // pages sent with data
	Dropped       uint64 // pages dropped without being read
	Failures      uint64 // effects the shell could not execute

	// At home only.
	Transactions  uint64
	Invalidations uint64 // Invalidate messages
	Upgrades      uint64 // grants without data
	ZeroGrants    uint64 // grants of untouched runs
	Pushed        uint64 // grants nobody asked for
	Waits         uint64 // requests that waited for the minimum hold time
	Holds         uint64
	Protocol      uint64 // messages that made no sense and were dropped
}

// Stats are the counts so far.
func (m *Machine) Stats() Stats { return m.stats }
