// args: 5
// calls: clock_nanosleep
#include "guest.h"

/* To node 1, a short sleep there, and home again. */
int main(int argc, char **argv)
{
	int ms = argc > 1 ? atoi(argv[1]) : 100;

	go(1);
	sleep_ms(ms);
	go(0);
	success();
	return 0;
}
