// only: litmus
#define THREADS 4
#include "litmus.h"

/* Independent reads of independent writes: two readers may not see two writes in opposite orders. */
static void body(int t, int c)
{
	switch (t) {
	case 0:
	case 1:
		ST(t, 1);
		break;
	default:
		REG(t, 0) = LD(t - 2);
		REG(t, 1) = LD(3 - t);
	}
}

static bool forbidden(int c)
{
	return REG(2, 0) == 1 && REG(2, 1) == 0 && REG(3, 0) == 1 && REG(3, 1) == 0;
}

int main(int argc, char **argv)
{
	return litmus_main(argc, argv);
}
