package coherence

// Merge adds another machine's counts to s.
func (s *Stats) Merge(o Stats) {
	s.ReadFaults += o.ReadFaults
	s.WriteFaults += o.WriteFaults
	s.UpgradeFaults += o.UpgradeFaults
	s.Spurious += o.Spurious
	s.Merged += o.Merged
	s.PagesIn += o.PagesIn
	s.ZerosIn += o.ZerosIn
	s.Prefetched += o.Prefetched
	s.PagesOut += o.PagesOut
	s.Dropped += o.Dropped
	s.Failures += o.Failures
	s.Transactions += o.Transactions
	s.Invalidations += o.Invalidations
	s.Upgrades += o.Upgrades
	s.ZeroGrants += o.ZeroGrants
	s.Pushed += o.Pushed
	s.Waits += o.Waits
	s.Holds += o.Holds
	s.Protocol += o.Protocol
}
