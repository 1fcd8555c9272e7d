// only: moves
// args: 0.2
#include "moves.h"

enum { CYCLE = 251, BLOCK = CYCLE * 4096 }; /* prime, for what comes twice to be seen */

static int p[2];

static void *reader(void *arg)
{
	char buf[8192];
	ssize_t n;
	unsigned char want = 0;

	while ((n = read(p[0], buf, sizeof buf)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK((unsigned char)buf[i] == want), want = (want + 1) % CYCLE;
		if (want % 4 == 0)
			sleep_ms(1);
	}
	CHECK(n == 0 && want == 0);
	return arg;
}

/* Sits in write most of the time, of more than a pipe holds: each ends when all is written, once. */
int main(int argc, char **argv)
{
	static char block[BLOCK];
	pthread_t t;

	moves_begin(argc, argv);
	for (int i = 0; i < BLOCK; i++)
		block[i] = i % CYCLE;
	CHECK(pipe(p) == 0 && pthread_create(&t, NULL, reader, NULL) == 0);
	while (moves_go_on())
		CHECK(write(p[1], block, BLOCK) == BLOCK);
	close(p[1]);
	pthread_join(t, NULL);
	return moves_end();
}
