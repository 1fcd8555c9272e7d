// args: 4 200000
// soak: 8 16000000
// calls: clone3
#include "guest.h"

static int threads;
static size_t length;
static char *text;
static long found[MAX_THREADS];

/* Counts a word in a text, each thread its part, a match belonging to the part it starts in. */
static void *worker(void *arg)
{
	long t = (long)arg;
	char *p = text + length * t / threads, *end = text + length * (t + 1) / threads;

	place(t);
	while ((p = strstr(p, "abba")) && p < end)
		found[t]++, p++;
	return NULL;
}

int main(int argc, char **argv)
{
	uint32_t x = 99;
	long all = 0, alone = 0;

	CHECK(argc == 3);
	threads = atoi(argv[1]), length = atol(argv[2]);
	text = malloc(length + 1);
	for (size_t i = 0; i < length; i++)
		text[i] = 'a' + ((x = x * 1664525 + 1013904223) >> 30);
	text[length] = 0;
	run_threads(threads, worker);
	for (int t = 0; t < threads; t++)
		all += found[t];
	for (char *p = text; (p = strstr(p, "abba")); p++)
		alone++;
	CHECK(all == alone && all > 0);
	printf("%ld matches\n", all);
	success();
	return 0;
}
