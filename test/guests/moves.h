/* What the programs share that are moved from outside while they run: time, and the overrun of timeouts.
 *
 * Argument: seconds to run. Standard error says how many milliseconds timeouts took longer than asked, all together.
 */
#ifndef MOVES_H
#define MOVES_H

#include "guest.h"

static double end_time, overrun;

static inline void moves_begin(int argc, char **argv)
{
	CHECK(argc == 2);
	end_time = now() + atof(argv[1]);
}

static inline bool moves_go_on(void) { return now() < end_time; }

/* Notes that something asked to last ms lasted since start. */
static inline void lasted(double start, double ms)
{
	double took = (now() - start) * 1000;

	CHECK(took >= ms - 0.1);
	overrun += took - ms;
}

static inline int moves_end(void)
{
	CHECK(fprintf(stderr, "%.0f\n", overrun) > 0);
	success();
	return 0;
}

#endif
