// calls: clock_nanosleep clone3 poll read rt_sigaction rt_sigreturn tgkill write
#include "guest.h"

static int p[2];
static _Atomic int hits;
static pthread_t main_thread;

static void handler(int sig) { (void)sig, atomic_fetch_add(&hits, 1); }

static void *interrupter(void *arg)
{
	sleep_ms(100);
	CHECK(pthread_kill(main_thread, SIGUSR1) == 0);
	sleep_ms(100);
	if (arg)
		CHECK(write(p[1], "x", 1) == 1);
	return NULL;
}

static void handle(int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
}

/* A read is interrupted, or restarted with SA_RESTART; sleeps and polls are always interrupted. */
int main(void)
{
	char c;
	pthread_t t;
	struct timespec ts = {5, 0}, left;
	struct pollfd pfd;

	main_thread = pthread_self();
	CHECK(pipe(p) == 0);
	handle(0);
	hop();
	pthread_create(&t, NULL, interrupter, NULL);
	CHECK(read(p[0], &c, 1) == -1 && errno == EINTR && hits == 1);
	pthread_join(t, NULL);
	handle(SA_RESTART);
	hop();
	pthread_create(&t, NULL, interrupter, p);
	CHECK(read(p[0], &c, 1) == 1 && c == 'x' && hits == 2);
	pthread_join(t, NULL);
	hop();
	pthread_create(&t, NULL, interrupter, NULL);
	CHECK(nanosleep(&ts, &left) == -1 && errno == EINTR && left.tv_sec == 4 && hits == 3);
	pthread_join(t, NULL);
	hop();
	pthread_create(&t, NULL, interrupter, NULL);
	pfd = (struct pollfd){p[0], POLLIN, 0};
	CHECK(poll(&pfd, 1, 5000) == -1 && errno == EINTR && hits == 4);
	pthread_join(t, NULL);
	success();
	return 0;
}
