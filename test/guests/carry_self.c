// only: selfcheckpoint
// calls: popcorn_checkpoint
#include "guest.h"
#include <sys/socket.h>

static _Atomic long counted;
static _Atomic int there, over;
static char big[PATH_MAX + 100];

/* Somebody else computes, before, meanwhile and afterwards. */
static void *count(void *arg)
{
	place((long)arg);
	there++; /* what is restored may be elsewhere */
	while (!over)
		counted++;
	return NULL;
}

static int refused(const char *path) { return popcorn_checkpoint(path) == -1 ? errno : 0; }

/* Saves itself, goes on, and goes on once more from there. */
int main(void)
{
	pthread_t t[2];
	double pi = 3.25;
	int fd, got, sum = 0;

	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, count, (void *)i) == 0);
	while (there < 2)
		sched_yield();
	memset(big, 'x', sizeof big - 1);
	CHECK(refused((char *)8) == EFAULT && refused("") == ENOENT && refused(big) == ENAMETOOLONG);
	CHECK(refused("none/such") == ENOENT);
	CHECK((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && refused("image") == EOPNOTSUPP && access("image", F_OK) == -1);
	close(fd);
	for (int i = 1; i <= 3; i++) {
		char name[16];
		long before = counted;

		snprintf(name, sizeof name, "image.%d", i);
		got = popcorn_checkpoint(name);
		CHECK(got == 0 || got == 1);
		CHECK(pi == 3.25 && counted >= before);
		sum += i * (1 + got * 10);
		while (counted < before + 1000)
			sched_yield();
		if (got)
			break;
		hop();
	}
	over = 1;
	pthread_join(t[0], NULL), pthread_join(t[1], NULL);
	printf("%d\n", sum);
	success();
	return 0;
}
