// only: checkpoint
/* Actions, masks, pending signals with their values, and the alternate stack are kept. */
#include "carry.h"

static char alt[64 << 10];
static volatile sig_atomic_t got1, got2, value, onalt;

static void action(int sig, siginfo_t *info, void *ctx)
{
	char here;

	(void)ctx;
	if (sig == SIGUSR1) {
		got1++;
		onalt = &here >= alt && &here < alt + sizeof(alt);
	} else {
		got2++;
		value = value * 10 + info->si_value.sival_int;
	}
}

static atomic_int step;
static volatile sig_atomic_t there;
static void inthread(int sig) { (void)sig; there++; }

static void *blocks(void *arg)
{
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(pthread_kill(pthread_self(), SIGWINCH) == 0);
	step = 1;
	while (step != 2)
		sleep_ms(1);
	CHECK(there == 0 && pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0 && there == 1);
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = action, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART}, now;
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)}, was;
	sigset_t set, pend;
	pthread_t t;

	sigaddset(&sa.sa_mask, SIGHUP);
	CHECK(sigaltstack(&ss, NULL) == 0 && sigaction(SIGUSR1, &sa, NULL) == 0 && sigaction(SIGRTMIN + 1, &sa, NULL) == 0);
	signal(SIGWINCH, inthread);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(pthread_create(&t, NULL, blocks, NULL) == 0);
	while (step != 1)
		sleep_ms(1);
	CHECK(kill(getpid(), SIGUSR1) == 0);
	for (int i = 1; i <= 3; i++)
		CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
	saved();
	CHECK(got1 == 0 && got2 == 0 && sigpending(&pend) == 0 && sigismember(&pend, SIGUSR1) && sigismember(&pend, SIGRTMIN + 1));
	CHECK(sigaltstack(NULL, &was) == 0 && was.ss_sp == alt && was.ss_size == sizeof(alt) && was.ss_flags == 0);
	CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_sigaction == action && sigismember(&now.sa_mask, SIGHUP) &&
	      (now.sa_flags & ~0x04000000) == sa.sa_flags);
	CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_IGN);
	CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
	CHECK(got1 == 1 && onalt && got2 == 3 && value == 123);
	step = 2;
	CHECK(pthread_join(t, NULL) == 0 && there == 1);
	success();
}
