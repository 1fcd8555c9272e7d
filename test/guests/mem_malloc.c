// args: 8 400
// soak: 8 5000
// calls: clone3
#include "guest.h"

enum { SLOTS = 64 };
static int rounds;

struct block {
	uint32_t size, mark;
};

/* Eight threads allocate, grow, free, and hand blocks to each other; every block keeps its bytes. */
static struct block *_Atomic shared[SLOTS];

static void fill(struct block *b, uint32_t size, uint32_t mark)
{
	b->size = size, b->mark = mark;
	memset(b + 1, mark, size);
}

static void check(struct block *b)
{
	unsigned char *p = (unsigned char *)(b + 1);

	for (uint32_t i = 0; i < b->size; i += 61)
		CHECK(p[i] == (unsigned char)b->mark);
}

static void *worker(void *arg)
{
	uint32_t x = (long)arg * 7919 + 1;

	place((long)arg);
	for (int r = 0; r < rounds; r++) {
		x = x * 1664525 + 1013904223;
		uint32_t size = x >> 28 == 0 ? (x >> 8) % 300000 : (x >> 8) % 2000;
		struct block *b = malloc(sizeof *b + size);

		CHECK(b);
		fill(b, size, r);
		if (x >> 30 == 1) {
			CHECK((b = realloc(b, sizeof *b + size * 2)));
			check(b);
		}
		if ((b = atomic_exchange(&shared[x >> 10 & (SLOTS - 1)], b))) {
			check(b);
			free(b);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	rounds = argc > 2 ? atoi(argv[2]) : 10000;
	run_threads(argc > 1 ? atoi(argv[1]) : 8, worker);
	for (int i = 0; i < SLOTS; i++)
		free(shared[i]);
	success();
	return 0;
}
