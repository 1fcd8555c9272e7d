package cli

import (
	"context"
	"fmt"
	"os"

	"popcorn/internal/job"
)

// Foster is the body of the internal verb "popcorn foster", which popcorn run starts
// for a child that a program has teleforked. It returns the exit code.
func Foster() int {
	s, err := job.ReadFoster()
	if err == nil {
		ctx := context.Background()
		err = job.RunFoster(ctx, s, func() (job.Deputies, error) {
			if len(s.Hosts) == 0 {
				return nil, nil
			}
			ctx, cancel := context.WithTimeout(ctx, clusterPatience)
			defer cancel()
			return localCluster(ctx)
		})
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "popcorn: %v\n", err)
		return codeOf(err)
	}
	return 0
}
