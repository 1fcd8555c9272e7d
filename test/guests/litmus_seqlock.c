// only: litmus
#include "litmus.h"

static _Atomic int finished, seen[3];

/* A sequence lock: a reader that saw the same even number twice saw three words of one write. */
static void *worker(void *arg)
{
	enum { c = 0 };
	long t = (long)arg;

	litmus_place(t);
	if (t == 0) {
		for (int i = 1; i <= rounds; i++) {
			ST(0, 2 * i - 1);
			FENCE();
			ST(1, i), ST(2, i * 3), ST(3, -i);
			ST(0, 2 * i);
			if (i % 128 == 0) /* until both have read something of these */
				while (atomic_load(&seen[1]) <= i - 128 || atomic_load(&seen[2]) <= i - 128)
					sched_yield();
		}
		atomic_store(&finished, 1);
		return NULL;
	}
	for (int last = 0; !atomic_load(&finished);) {
		int before = LD(0), a = LD(1), b = LD(2), d = LD(3);

		FENCE();
		if (before % 2 == 0 && LD(0) == before) {
			CHECK(a == before / 2 && b == 3 * a && d == -a && a >= last);
			if (a != last)
				atomic_store(&seen[t], a);
			last = a;
		}
		sched_yield();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	litmus_args(argc, argv);
	run_threads(3, worker);
	success();
	return 0;
}
