// args: 200
// soak: 5000
// calls: clone3
#include "guest.h"

static _Atomic int done;

static void *worker(void *arg)
{
	int local = (long)arg;

	if (local % 7 == 0)
		place(local);
	atomic_fetch_add(&done, 1);
	return &done + local;
}

/* Hundreds of threads come and go, joined in batches, each returning its own value. */
int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 500;

	for (int first = 0; first < threads; first += 20) {
		pthread_t t[20];

		hop();
		for (long i = 0; i < 20; i++)
			CHECK(pthread_create(&t[i], NULL, worker, (void *)(first + i)) == 0);
		for (int i = 0; i < 20; i++) {
			void *got;

			CHECK(pthread_join(t[i], &got) == 0 && got == &done + first + i);
		}
	}
	CHECK(atomic_load(&done) == (threads + 19) / 20 * 20);
	success();
	return 0;
}
