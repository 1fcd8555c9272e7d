// build: -fno-omit-frame-pointer -fno-optimize-sibling-calls
// exit: 175
// calls: access
#include "guest.h"

#define DEPTH 8
static uintptr_t before[DEPTH];

static int chain(uintptr_t *out, int max)
{
	uintptr_t *fp = __builtin_frame_address(0);
	int n = 0;

	while (n < max && fp && fp[1]) {
		out[n++] = fp[1];
		if (fp[0] <= (uintptr_t)fp)
			break;
		fp = (uintptr_t *)fp[0];
	}
	return n;
}

static void report(void *arg)
{
	FILE *f = fopen(arg, "w");

	CHECK(f);
	CHECK(nodes() < 2 || popcorn_current_nid() == 1);
	fprintf(f, "the callback was here\n");
	CHECK(fclose(f) == 0);
}

static int __attribute__((noinline)) descend(int depth)
{
	volatile int local = depth * 3;

	if (depth == 0) {
		uintptr_t after[DEPTH];
		int n = chain(before, DEPTH);

		go(0);
		CHECK(chain(after, DEPTH) == n && n == DEPTH);
		CHECK(memcmp(before + 1, after + 1, (n - 1) * sizeof *after) == 0);
		return 1;
	}
	int below = descend(depth - 1);

	CHECK(local == depth * 3);
	return below + local;
}

/* A callback at the destination, recursion there, home again deep in the stack, and back up through its frames. */
int main(void)
{
	if (nodes() > 1 && current_nid() == 1)
		go(0);

	int err = migrate(1, report, "report.txt");

	CHECK(err == (nodes() == 0 ? ENOSYS : nodes() == 1 ? EAGAIN : 0));
	CHECK((access("report.txt", R_OK) == 0) == (nodes() > 1));

	int sum = descend(DEPTH);

	printf("sum %d\n", sum);
	success();
	return sum == 1 + 3 * (DEPTH * (DEPTH + 1) / 2) ? 175 : 1;
}
