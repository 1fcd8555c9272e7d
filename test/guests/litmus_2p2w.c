// only: litmus
#define THREADS 2
#include "litmus.h"

/* Two writers of two variables, in opposite orders: not both first writes may come last. */
static void body(int t, int c)
{
	ST(t, 1);
	ST(1 - t, 2);
}

static bool forbidden(int c)
{
	return atomic_load(var(0, c)) == 1 && atomic_load(var(1, c)) == 1;
}

int main(int argc, char **argv)
{
	return litmus_main(argc, argv);
}
