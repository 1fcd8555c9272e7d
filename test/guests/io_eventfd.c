// calls: clone3 eventfd2
#include "guest.h"
#include <sys/eventfd.h>

static int go_fd, done_fd;

static void *worker(void *arg)
{
	eventfd_t v;

	for (int i = 0; i < 50; i++) {
		CHECK(eventfd_read(go_fd, &v) == 0 && v == 1);
		CHECK(eventfd_write(done_fd, 1) == 0);
	}
	return arg;
}

/* Blocking eventfds between threads: as a counter and as a semaphore. */
int main(void)
{
	pthread_t t[4];
	eventfd_t v;

	CHECK((go_fd = eventfd(0, EFD_SEMAPHORE)) >= 0 && (done_fd = eventfd(0, 0)) >= 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, NULL);
	for (int sum = 0, given = 0; sum < 200;) {
		if (given < 200)
			CHECK(eventfd_write(go_fd, 10) == 0), given += 10;
		hop();
		CHECK(eventfd_read(done_fd, &v) == 0);
		sum += v;
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	success();
	return 0;
}
