// build: -fopenmp
// args: 4000000
// soak: 400000000
#include "guest.h"
#include <omp.h>

/* A parallel sum and a parallel scan with a barrier between the steps. */
int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000000, part[64] = {0};
	uint64_t sum = 0;

	omp_set_num_threads(4);
#pragma omp parallel for reduction(+ : sum)
	for (long i = 0; i < n; i++)
		sum += (uint64_t)i * i % 1000003;
#pragma omp parallel
	{
		int me = omp_get_thread_num();

		for (int step = 1; step <= 20; step++) {
			part[me] += step * (me + 1);
#pragma omp barrier
			if (me == 0)
				for (int t = 1; t < 4; t++)
					CHECK(part[t] == part[0] * (t + 1));
#pragma omp barrier
		}
	}
	printf("%llu %ld\n", (unsigned long long)sum, part[3]);
	success();
	return 0;
}
