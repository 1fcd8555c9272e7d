// args: 64
// soak: 512
// calls: clone3
#include "guest.h"

static uint64_t *data;
static size_t words;

static void *writer(void *arg)
{
	place(1);
	for (size_t i = 0; i < words; i++)
		data[i] = i * 2654435761u ^ i >> 7;
	return arg;
}

static void *reader(void *arg)
{
	uint64_t *sum = arg;

	place(2);
	for (size_t i = 0; i < words; i++)
		*sum = *sum * 31 + data[i];
	return arg;
}

/* Tens of megabytes written in order on one node, read in order on another and at home. */
int main(int argc, char **argv)
{
	pthread_t t;
	uint64_t there = 0, here = 0, want = 0;

	words = (argc > 1 ? atol(argv[1]) : 64) << 20 >> 3;
	data = malloc(words * 8);
	CHECK(data);
	pthread_create(&t, NULL, writer, NULL), pthread_join(t, NULL);
	pthread_create(&t, NULL, reader, &there), pthread_join(t, NULL);
	for (size_t i = 0; i < words; i++) {
		here = here * 31 + data[i];
		want = want * 31 + (i * 2654435761u ^ i >> 7);
	}
	CHECK(here == want && there == want);
	printf("%016llx\n", (unsigned long long)here);
	success();
	return 0;
}
