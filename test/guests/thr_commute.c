// args: 20
// soak: 2000
#include "guest.h"

enum { TRAVELLERS = 3 };

static int steps, fd;
static _Atomic long total;

/* On another node at every step, with one line written from each. */
static void *traveller(void *arg)
{
	long me = (long)arg;
	char line[32];

	for (int i = 0; i < steps; i++) {
		place(me + i);

		int n = snprintf(line, sizeof line, "%ld %d\n", me, i);

		CHECK(write(fd, line, n) == n);
		atomic_fetch_add(&total, i);
	}
	return NULL;
}

/* Every line is in the file once, those of a thread in order. */
int main(int argc, char **argv)
{
	int next[TRAVELLERS] = {0};
	long who;
	int i;

	steps = argc > 1 ? atoi(argv[1]) : 20;
	fd = open("commute", O_CREAT | O_RDWR | O_APPEND | O_TRUNC, 0644);
	CHECK(fd >= 0);
	run_threads(TRAVELLERS, traveller);
	CHECK(total == (long)TRAVELLERS * steps * (steps - 1) / 2);

	FILE *f = fdopen(fd, "r");

	CHECK(f && fseek(f, 0, SEEK_SET) == 0);
	while (fscanf(f, "%ld %d", &who, &i) == 2) {
		CHECK(who >= 0 && who < TRAVELLERS && next[who] == i);
		next[who]++;
	}
	for (who = 0; who < TRAVELLERS; who++)
		CHECK(next[who] == steps);
	success();
	return 0;
}
