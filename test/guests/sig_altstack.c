// calls: clone3 rt_sigaction rt_sigreturn sigaltstack tgkill
#include "guest.h"

static char alternate[4][65536] __attribute__((aligned(16)));
static _Thread_local char *mine;
static _Thread_local int on_it;

static void handler(int sig)
{
	char here;

	(void)sig;
	on_it += &here >= mine && &here < mine + sizeof alternate[0];
}

/* A handler with SA_ONSTACK runs on the thread's alternate stack, which stays known through moves. */
static void *worker(void *arg)
{
	int me = (long)arg;
	stack_t ss = {.ss_sp = alternate[me], .ss_size = sizeof alternate[me]}, got;

	mine = alternate[me];
	CHECK(sigaltstack(&ss, NULL) == 0);
	for (int i = 0; i < 6; i++) {
		place(me + i);
		CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0 && on_it == i + 1);
		CHECK(sigaltstack(NULL, &got) == 0 && got.ss_sp == mine && got.ss_size == sizeof alternate[me]);
	}
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	run_threads(4, worker);
	success();
	return 0;
}
