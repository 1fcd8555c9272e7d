// only: litmus
#define THREADS 2
#include "litmus.h"

/* Store buffering with fences: both threads write, fence, read the other's; not both may read the old value. */
static void body(int t, int c)
{
	ST(t, 1);
	FENCE();
	REG(t, 0) = LD(1 - t);
}

static bool forbidden(int c)
{
	return REG(0, 0) == 0 && REG(1, 0) == 0;
}

int main(int argc, char **argv)
{
	return litmus_main(argc, argv);
}
