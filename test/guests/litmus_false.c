// only: litmus
#include "litmus.h"

/* False sharing: eight threads write eight words of one page, each only its own, and no write is lost or mixed. */
static void *worker(void *arg)
{
	int t = (long)arg;
	_Atomic int *mine = &var_pages[0].cell[same_page ? t : t * 100];

	litmus_place(t);
	for (int i = 0; i < rounds; i++) {
		litmus_keep_pace(i, 8);
		CHECK(atomic_load_explicit(mine, memory_order_relaxed) == i * 8 + t * (i > 0));
		atomic_store_explicit(mine, (i + 1) * 8 + t, memory_order_relaxed);
		if (i % 32 == 0)
			sched_yield();
	}
	litmus_meet(8);
	for (int other = 0; other < 8; other++)
		CHECK(atomic_load(&var_pages[0].cell[same_page ? other : other * 100]) == rounds * 8 + other);
	return NULL;
}

int main(int argc, char **argv)
{
	litmus_args(argc, argv);
	run_threads(8, worker);
	success();
	return 0;
}
