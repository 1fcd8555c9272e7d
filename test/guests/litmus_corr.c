// only: litmus
#define THREADS 4
#include "litmus.h"

/* Coherence of one location: two readers see the writes of two writers in one order, and never go back. */
static void body(int t, int c)
{
	if (t < 2) {
		ST(0, t + 1);
	} else {
		REG(t, 0) = LD(0);
		REG(t, 1) = LD(0);
		REG(t, 2) = LD(0);
	}
}

/* The first two written values a thread saw one after the other, as first * 10 + second; 0 when it saw no two written values. */
static int order(int t, int c)
{
	for (int i = 0; i < 2; i++)
		if (REG(t, i) && REG(t, i + 1) != REG(t, i))
			return REG(t, i) * 10 + REG(t, i + 1);
	return 0;
}

/* Whether a thread saw a value again after another one. */
static bool went_back(int t, int c)
{
	return (REG(t, 0) != REG(t, 1) && REG(t, 1) != REG(t, 2) && REG(t, 0) == REG(t, 2)) ||
	       (REG(t, 0) && (!REG(t, 1) || !REG(t, 2))) || (REG(t, 1) && !REG(t, 2));
}

static bool forbidden(int c)
{
	return went_back(2, c) || went_back(3, c) || (order(2, c) && order(3, c) && order(2, c) != order(3, c));
}

int main(int argc, char **argv)
{
	return litmus_main(argc, argv);
}
