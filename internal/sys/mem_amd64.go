package sys

// PageSize is the only page size of the architecture's kernels.
const PageSize = 4096
