// calls: getpid getuid kill rt_sigaction rt_sigqueueinfo rt_sigreturn tgkill tkill
#include "guest.h"

static _Atomic int got, code, value;
static void handler(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	code = si->si_code;
	value = si->si_value.sival_int;
	got = sig == si->si_signo ? sig : -sig;
}

/* Past the C library, which keeps two signals for itself. */
struct kernel_action {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static struct kernel_action action_of(int sig)
{
	struct kernel_action a;

	CHECK(syscall(SYS_rt_sigaction, sig, NULL, &a, 8) == 0);
	return a;
}

static void once(int sig)
{
	struct kernel_action old;
	struct kernel_action a = action_of(SIGUSR1); /* with the C library's restorer */
	siginfo_t si = {.si_signo = sig, .si_code = SI_QUEUE};

	a.mask = 1ul << (SIGUSR2 - 1);
	CHECK(syscall(SYS_rt_sigaction, sig, &a, &old, 8) == 0);
	si.si_pid = getpid(), si.si_uid = getuid(), si.si_value.sival_int = 7000 + sig;
	got = 0;
	CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), sig, &si) == 0);
	CHECK(got == sig && code == SI_QUEUE && value == 7000 + sig);
	got = 0;
	CHECK(syscall(SYS_tkill, popcorn_gettid(), sig) == 0 && got == sig && code == SI_TKILL);
	CHECK(syscall(SYS_rt_sigaction, sig, sig == SIGUSR1 ? NULL : &old, NULL, 8) == 0);
}

/* Each of the 64 signals arrives with what was sent; two cannot be caught; four do nothing by default. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	for (int sig = 1; sig <= 64; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP) {
			CHECK(sigaction(sig, &sa, NULL) == -1 && errno == EINVAL);
			continue;
		}
		if (sig % 8 == 0)
			hop();
		once(sig);
	}
	CHECK(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8) == -1 && errno == EINVAL);
	CHECK(kill(getpid(), 65) == -1 && errno == EINVAL);
	for (int i = 0; i < 4; i++)
		CHECK(signal(ignored[i], SIG_DFL) != SIG_ERR && raise(ignored[i]) == 0);
	success();
	return 0;
}
