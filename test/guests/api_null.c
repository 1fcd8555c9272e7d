// args: 50
// soak: 1000
#include "guest.h"

/* The one-line form, syscall(900, nid, 0), keeps every register the compiler relies on, over many round trips. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 300;
	long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
	double x = 0.5;

	for (int i = 0; i < rounds; i++) {
		int to = nodes() > 1 ? i % nodes() : 0;
		long r = syscall(900, to, 0);

		if (nodes() > 1)
			CHECK(r == 0 || errno == EBUSY);
		else
			CHECK(r == -1 && errno == (nodes() ? EBUSY : ENOSYS));
		a += b, b ^= c + i, c += d, d ^= e * 3, e += f, f ^= a;
		x = x * 1.000001 + i;
	}
	printf("%lx %lx %lx %lx %lx %lx %.6f\n", a, b, c, d, e, f, x);
	success();
	return 0;
}
