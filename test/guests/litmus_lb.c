// only: litmus
#define THREADS 2
#include "litmus.h"

/* Load buffering: both read, then write what the other reads; not both may read the new value. */
static void body(int t, int c)
{
	REG(t, 0) = LD(t);
	ST(1 - t, 1);
}

static bool forbidden(int c)
{
	return REG(0, 0) == 1 && REG(1, 0) == 1;
}

int main(int argc, char **argv)
{
	return litmus_main(argc, argv);
}
