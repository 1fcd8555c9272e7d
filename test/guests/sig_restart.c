// calls: alarm clock_nanosleep clone clone3 epoll_create1 epoll_ctl epoll_pwait epoll_wait kill poll
// calls: ppoll pselect6 read rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend tgkill wait4 write
#include "guest.h"
#include <sys/epoll.h>
#include <sys/select.h>

static _Atomic int hits, nested;
static pthread_t main_thread;
static int wake[2];
static sigjmp_buf out;

static void count(int sig) { (void)sig, atomic_fetch_add(&hits, 1); }
static void jump(int sig) { siglongjmp(out, sig); }

/* A handler that sleeps, and is itself interrupted there. */
static void sleeper(int sig)
{
	struct timespec ts = {10, 0};

	(void)sig;
	CHECK(pthread_kill(pthread_self(), SIGUSR2) == 0);
	CHECK(nanosleep(&(struct timespec){0, 1000000}, NULL) == 0 && nested == 1);
	alarm(1);
	CHECK(nanosleep(&ts, NULL) == -1 && errno == EINTR && nested == 2);
}

static void inner(int sig) { (void)sig, atomic_fetch_add(&nested, 1); }

static void *sender(void *arg)
{
	sleep_ms(80);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_kill(main_thread, (int)(long)arg) == 0);
	sleep_ms(80);
	CHECK(write(wake[1], "w", 1) == 1);
	return NULL;
}

static void *once(void *arg)
{
	sleep_ms(80);
	CHECK(pthread_kill(main_thread, (int)(long)arg) == 0);
	return NULL;
}

static void *child_ends(void *arg)
{
	sleep_ms(80);
	CHECK(pthread_kill(main_thread, SIGUSR1) == 0);
	sleep_ms(80);
	CHECK(kill((pid_t)(long)arg, SIGKILL) == 0);
	return NULL;
}

static void handle(int sig, void (*f)(int), int flags)
{
	struct sigaction sa = {.sa_handler = f, .sa_flags = flags};

	CHECK(sigaction(sig, &sa, NULL) == 0);
}

/* Runs call while another thread sends sig three times; the signals are all handled before it returns. */
#define DURING(sig, call) \
	do { \
		pthread_t t; \
		hop(); \
		hits = 0; \
		CHECK(pthread_create(&t, NULL, sender, (void *)(long)(sig)) == 0); \
		call; \
		CHECK(pthread_join(t, NULL) == 0 && read(wake[0], &c, 1) == 1); \
	} while (0)

static void timed_sleep(long ms)
{
	struct timespec ts = {0, ms * 1000000};
	double start = now();

	CHECK(nanosleep(&ts, NULL) == 0 && now() - start >= ms / 1000.0);
}

/* Signals without a handler interrupt nothing; waits under another mask end when it lets a signal through. */
int main(void)
{
	struct pollfd pfd = {.events = POLLIN};
	struct timespec ts = {5, 0};
	sigset_t none, block;
	sem_t sem;
	int p[2], status, e = epoll_create1(0);
	struct epoll_event ev, want = {.events = EPOLLIN};
	pthread_t t;
	char c;

	main_thread = pthread_self();
	CHECK(pipe(p) == 0 && pipe(wake) == 0 && e >= 0 && epoll_ctl(e, EPOLL_CTL_ADD, wake[0], &want) == 0 && sem_init(&sem, 0, 0) == 0);
	pfd.fd = p[0];
	handle(SIGUSR1, SIG_IGN, 0);
	DURING(SIGUSR1, timed_sleep(300));
	DURING(SIGCHLD, timed_sleep(300));
	DURING(SIGUSR1, CHECK(poll(&pfd, 1, 300) == 0));
	DURING(SIGUSR1, CHECK(epoll_wait(e, &ev, 1, -1) == 1));

	handle(SIGUSR1, count, SA_RESTART);
	DURING(SIGUSR1, CHECK(poll(&pfd, 1, 5000) == -1 && errno == EINTR && hits > 0));
	DURING(SIGUSR1, CHECK(epoll_wait(e, &ev, 1, 5000) == -1 && errno == EINTR && hits > 0));
	DURING(SIGUSR1, CHECK(nanosleep(&ts, NULL) == -1 && errno == EINTR && hits > 0));
	pid_t child = fork();

	if (child == 0)
		for (;;)
			pause();
	hits = 0;
	CHECK(pthread_create(&t, NULL, child_ends, (void *)(long)child) == 0);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && hits == 1);
	CHECK(pthread_join(t, NULL) == 0);

	sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &block, NULL) == 0);
	DURING(SIGUSR1, CHECK(ppoll(&pfd, 1, &ts, &none) == -1 && errno == EINTR && hits > 0));
	DURING(SIGUSR1, CHECK(pselect(0, NULL, NULL, NULL, &ts, &none) == -1 && errno == EINTR && hits > 0));
	DURING(SIGUSR1, CHECK(epoll_pwait(e, &ev, 1, 5000, &none) == -1 && errno == EINTR && hits > 0));
	DURING(SIGUSR1, CHECK(sigsuspend(&none) == -1 && errno == EINTR && hits > 0));
	CHECK(pthread_sigmask(SIG_UNBLOCK, &block, NULL) == 0);

	handle(SIGUSR1, jump, 0);
	for (int i = 0; i < 3; i++) {
		hop();
		if (sigsetjmp(out, 1) == 0) {
			CHECK(pthread_create(&t, NULL, once, (void *)(long)SIGUSR1) == 0);
			CHECK(read(p[0], &c, 1) == 99);
		}
		CHECK(pthread_join(t, NULL) == 0);
	}
	handle(SIGUSR1, sleeper, 0), handle(SIGUSR2, inner, 0), handle(SIGALRM, inner, 0);
	CHECK(pthread_create(&t, NULL, once, (void *)(long)SIGUSR1) == 0);
	CHECK(sem_wait(&sem) == -1 && errno == EINTR && nested == 2);
	CHECK(pthread_join(t, NULL) == 0);
	success();
	return 0;
}
