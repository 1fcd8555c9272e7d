// only: moves
// args: 0.2
#include "moves.h"

static int p[2];

static void *writer(void *arg)
{
	int last = -1;

	for (int i = 0; moves_go_on(); i++) {
		CHECK(write(p[1], &i, sizeof i) == sizeof i);
		sleep_ms(i % 3 * 10);
	}
	CHECK(write(p[1], &last, sizeof last) == sizeof last);
	return arg;
}

/* Sits in read most of the time: every number arrives, once, in order, and no read is interrupted. */
int main(int argc, char **argv)
{
	pthread_t t;

	moves_begin(argc, argv);
	CHECK(pipe(p) == 0 && pthread_create(&t, NULL, writer, NULL) == 0);
	for (int want = 0, got = 0; got != -1; want++) {
		CHECK(read(p[0], &got, sizeof got) == sizeof got);
		CHECK(got == want || got == -1);
	}
	pthread_join(t, NULL);
	return moves_end();
}
