// calls: getpid kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn tgkill
#include "guest.h"

static _Atomic int count, last_code, last_pid, last_value;
static _Atomic pid_t last_tid;

static void handler(int sig, siginfo_t *si, void *uc)
{
	CHECK(uc != NULL);
	last_code = si->si_code;
	last_pid = si->si_pid;
	last_value = si->si_value.sival_int;
	last_tid = popcorn_gettid();
	count += sig == SIGUSR1 ? 1 : 100;
}

/* kill, tgkill, raise and sigqueue to oneself: code, sender, value, thread, mask, pending and order. */
int main(void)
{
	sigset_t set, old;
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && sigaction(SIGRTMIN + 2, &sa, NULL) == 0);
	for (int i = 0; i < 20; i++) {
		hop();
		count = 0;
		CHECK(kill(getpid(), SIGUSR1) == 0);
		CHECK(count == 1 && last_code == SI_USER && last_pid == getpid() && last_tid == popcorn_gettid());
		CHECK(raise(SIGUSR1) == 0 && count == 2 && last_code == SI_TKILL);
		CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1000 + i}) == 0);
		CHECK(count == 3 && last_code == SI_QUEUE && last_value == 1000 + i);
		sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN + 2);
		CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
		kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1);
		sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 1});
		sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 2});
		CHECK(count == 3 && sigpending(&set) == 0 && sigismember(&set, SIGUSR1) && sigismember(&set, SIGRTMIN + 2));
		hop();
		CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && count == 204);
	}
	sa.sa_handler = SIG_IGN, sa.sa_flags = 0;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && raise(SIGUSR1) == 0 && count == 204);
	CHECK(kill(getpid(), 0) == 0 && kill(getpid(), 99) == -1 && errno == EINVAL);
	success();
	return 0;
}
