// build: -lm
// args: 60
// soak: 2000
#include "guest.h"
#include <fenv.h>
#include <math.h>

#if defined(__x86_64__)
/* Three values stay on the x87 stack across the call. */
__attribute__((noinline)) static long double move_with_x87(int nid, long double a, long double b)
{
	long ret;
	long double out;

	__asm__ volatile("fldt %[b]\n\tfldt %[a]\n\tfld1\n\tsyscall\n\tfaddp\n\tfmulp\n\tfstpt %[out]"
			 : "=a"(ret), [out] "=m"(out)
			 : "0"(900l), "D"((long)nid), "S"(0l), [a] "m"(a), [b] "m"(b)
			 : "rcx", "r11", "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
	return out;
}
#else
static long double move_with_x87(int nid, long double a, long double b)
{
	place(nid);
	return (a + 1) * b;
}
#endif

/* The x87 stack, its rounding mode and that of SSE survive every move. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 300;
	const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	volatile double one = 1, three = 3;

	for (int r = 0; r < rounds; r++) {
		CHECK(move_with_x87(nodes() ? r % nodes() : 0, r, 1.5L) == (r + 1) * 1.5L);
		CHECK(fesetround(modes[r % 4]) == 0);
		double before = one / three;

		move_with_x87(nodes() ? (r + 1) % nodes() : 0, 1, 1);
		CHECK(fegetround() == modes[r % 4] && one / three == before);
	}
	fesetround(FE_TONEAREST);
	success();
	return 0;
}
