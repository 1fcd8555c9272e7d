// only: attach
#include "guest.h"

/* Found running: threads in every kind of call and in none, signal state of every
 * kind, and memory of kinds that are changed while other nodes have some of it. It
 * makes nothing new once it is ready, ends at SIGTERM, and then checks everything. */

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

static volatile sig_atomic_t over, traps;
static _Atomic long turns[6];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long passed;
static int ball[2], back[2];
static int changed[4096] = {1, 2, 3}; /* writable, private, of a file */
static const char kept[4096] = "as in the file";

static void on_term(int sig) { (void)sig, over = 1; }
static void on_trap(int sig) { (void)sig, traps++; }

static void *compute(void *arg)
{
	unsigned long x = 1, y = 1;

	(void)arg;
	while (!over) {
		for (int i = 0; i < 100000; i++)
			x = x * 6364136223846793005 + 1442695040888963407;
		for (int i = 0; i < 100000; i++)
			y = y * 6364136223846793005 + 1442695040888963407;
		CHECK(x == y);
		turns[0]++;
	}
	return NULL;
}

static void *sleeper(void *arg)
{
	sigset_t all;

	(void)arg;
	sigfillset(&all); /* SIGTRAP too */
	CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	while (!over) {
		sleep_ms(3);
		turns[1]++;
	}
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &all) == 0);
	CHECK(sigismember(&all, SIGTRAP) == 1);
	return NULL;
}

/* Two threads pass a number to and fro by pipes, one of them by poll. */
static void *server(void *arg)
{
	long n;

	(void)arg;
	while (read(ball[0], &n, sizeof n) == sizeof n) {
		n++;
		CHECK(write(back[1], &n, sizeof n) == sizeof n);
	}
	return NULL;
}

static void *client(void *arg)
{
	struct pollfd p = {.fd = back[0], .events = POLLIN};
	long n = 0, sent;

	(void)arg;
	while (!over) {
		sent = n;
		CHECK(write(ball[1], &n, sizeof n) == sizeof n);
		CHECK(poll(&p, 1, -1) == 1);
		CHECK(read(back[0], &n, sizeof n) == sizeof n);
		CHECK(n == sent + 1);
		turns[2]++;
	}
	close(ball[1]);
	return NULL;
}

/* Two threads take turns under a mutex and a condition. */
static void *turn(void *arg)
{
	long me = (long)arg;

	while (!over) {
		pthread_mutex_lock(&mutex);
		while (passed % 2 != me && !over)
			pthread_cond_wait(&cond, &mutex);
		passed++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
		turns[3 + me]++;
	}
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

/* One blocks until the end. */
static void *blocked(void *arg)
{
	sigset_t set;
	int sig;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	turns[5]++;
	CHECK(sigwait(&set, &sig) == 0 && sig == SIGUSR1);
	return NULL;
}

int main(void)
{
	pthread_t t[7];
	sigset_t usr1;
	char *drop, *part;

	signal(SIGTERM, on_term);
	signal(SIGTRAP, on_trap);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigaddset(&usr1, SIGTERM); /* only this thread waits for it, by pause */
	CHECK(pthread_sigmask(SIG_BLOCK, &usr1, NULL) == 0);
	CHECK(pipe(ball) == 0 && pipe(back) == 0);
	drop = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	part = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(part != MAP_FAILED && mprotect(part + 4 * 4096, 4096, PROT_READ) == 0);
	memset(part, 7, 4 * 4096);
	if (drop != MAP_FAILED)
		drop[0] = 1;
	changed[1] = 77;
	void *(*what[7])(void *) = {compute, sleeper, server, client, turn, turn, blocked};
	for (int i = 0; i < 7; i++)
		CHECK(pthread_create(&t[i], NULL, what[i], (void *)(long)(i == 5)) == 0);
	sigdelset(&usr1, SIGUSR1);
	CHECK(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL) == 0);
	for (int i = 0; i < 6; i++) /* a thread that is being made has another signal mask */
		while (turns[i] == 0)
			sleep_ms(1);
	printf("ready\n");
	fflush(stdout);
	while (!over)
		pause();
	CHECK(pthread_kill(t[6], SIGUSR1) == 0);
	for (int i = 0; i < 7; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	for (int i = 0; i < 6; i++)
		CHECK(turns[i] > 0);
	CHECK(changed[0] == 1 && changed[1] == 77 && changed[2] == 3 && changed[1024] == 0);
	CHECK(strcmp(kept, "as in the file") == 0 && part[4 * 4096 - 1] == 7 && part[5 * 4096] == 0);
	raise(SIGTRAP);
	CHECK(traps == 1);
	success();
	return 0;
}
