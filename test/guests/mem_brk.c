// calls: brk
#include "faulting.h"

/* The heap's end: up, down, up again and zero, and a refusal. */
int main(void)
{
	char *base = sbrk(0);

	catch_faults();
	base = (char *)(((uintptr_t)base + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	CHECK(brk(base + 64 * PAGE) == 0 && sbrk(0) == base + 64 * PAGE);
	for (int i = 0; i < 64; i++) {
		CHECK(base[i * PAGE] == 0);
		base[i * PAGE] = i;
	}
	hop();
	CHECK(brk(base + 16 * PAGE) == 0 && UNMAPPED(base + 16 * PAGE) && base[15 * PAGE] == 15);
	CHECK(brk(base + 128 * PAGE) == 0 && base[16 * PAGE] == 0 && base[63 * PAGE] == 0 && base[127 * PAGE] == 0);
	hop();
	memset(base + 16 * PAGE, 1, 112 * PAGE);
	CHECK(base[15 * PAGE] == 15 && base[3 * PAGE] == 3);
	CHECK(brk((void *)(1ul << 62)) == -1 && errno == ENOMEM);
	success();
	return 0;
}
