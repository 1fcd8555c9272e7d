// calls: clone3 rt_sigaction sigaltstack
#include "faulting.h"

static char alternate[4][64 * 1024];
static sigjmp_buf back[4];
static _Thread_local int me;

static void on_overflow(int sig) { siglongjmp(back[me], sig); }

static int __attribute__((noinline)) endless(volatile char *below)
{
	volatile char here[1000];

	here[0] = below ? below[0] + 1 : 0;
	return endless(here) + here[0];
}

/* Overflowing a thread's stack meets its guard page, on a thread at any node, and is survived on another stack. */
static void *worker(void *arg)
{
	stack_t ss = {.ss_sp = alternate[(long)arg], .ss_size = sizeof alternate[0]};

	me = (long)arg;
	place(me);
	CHECK(sigaltstack(&ss, NULL) == 0);
	if (sigsetjmp(back[me], 1) == 0) {
		endless(NULL);
		CHECK(!"overflowed");
	}
	return NULL;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};

	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0);
	run_threads(4, worker);
	success();
	return 0;
}
