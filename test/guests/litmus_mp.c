// only: litmus
#define THREADS 2
#include "litmus.h"

/* Message passing: who sees the flag sees the data. */
static void body(int t, int c)
{
	if (t == 0) {
		ST(0, 1);
		ST(1, 1);
	} else {
		REG(1, 1) = LD(1);
		REG(1, 0) = LD(0);
	}
}

static bool forbidden(int c)
{
	return REG(1, 1) == 1 && REG(1, 0) == 0;
}

int main(int argc, char **argv)
{
	return litmus_main(argc, argv);
}
