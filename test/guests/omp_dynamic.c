// build: -fopenmp
// args: 400
// soak: 20000
#include "guest.h"
#include <omp.h>

/* A dynamic schedule with uneven work, a critical section, an atomic, an ordered part and tasks. */
static long fib(int n)
{
	long a, b;

	if (n < 8)
		return n < 2 ? n : fib(n - 1) + fib(n - 2);
#pragma omp task shared(a)
	a = fib(n - 1);
#pragma omp task shared(b)
	b = fib(n - 2);
#pragma omp taskwait
	return a + b;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1000;
	uint64_t critical = 0, atomic = 0, ordered = 0;
	long f = 0;

	omp_set_num_threads(4);
#pragma omp parallel for schedule(dynamic, 3) ordered
	for (int i = 0; i < n; i++) {
		uint64_t h = i;

		for (int k = 0; k < i % 97 * 10; k++)
			h = h * 6364136223846793005ull + 1;
#pragma omp critical
		critical += h;
#pragma omp atomic
		atomic ^= h;
#pragma omp ordered
		ordered = ordered * 31 + i;
	}
#pragma omp parallel
#pragma omp single
	f = fib(14);
	printf("%llx %llx %llx %ld\n", (unsigned long long)critical, (unsigned long long)atomic, (unsigned long long)ordered, f);
	success();
	return 0;
}
