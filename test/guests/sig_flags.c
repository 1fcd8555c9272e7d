// calls: rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack tgkill
#include "guest.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char alternate[65536] __attribute__((aligned(16)));
static volatile int depth, deepest, runs;
static sigset_t during;
static stack_t seen;
static sigjmp_buf out;

static void nested(int sig)
{
	deepest = ++depth > deepest ? depth : deepest;
	if (runs++ < 3)
		CHECK(raise(sig) == 0);
	depth--;
}

static void on_stack(int sig)
{
	stack_t other = {.ss_sp = alternate, .ss_size = 16384};

	(void)sig;
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &during) == 0);
	CHECK(sigaltstack(NULL, &seen) == 0);
	hop();
	if (seen.ss_flags == SS_ONSTACK)
		CHECK(sigaltstack(&other, NULL) == -1 && errno == EPERM);
}

static void jump(int sig) { (void)sig, siglongjmp(out, 1); }

static void install(void (*f)(int), int flags, int also)
{
	struct sigaction sa = {.sa_handler = f, .sa_flags = flags};

	if (also)
		sigaddset(&sa.sa_mask, also);
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
}

static void use_stack(int flags)
{
	stack_t ss = {.ss_sp = alternate, .ss_size = sizeof alternate, .ss_flags = flags};

	CHECK(sigaltstack(&ss, NULL) == 0);
}

/* SA_NODEFER, SA_RESETHAND, SA_ONSTACK, sa_mask and SS_AUTODISARM; siglongjmp leaves the stack. */
int main(void)
{
	struct sigaction now_set;
	stack_t ss;

	install(nested, 0, 0);
	CHECK(raise(SIGUSR1) == 0 && deepest == 1 && runs == 4);
	hop();
	deepest = runs = 0;
	install(nested, SA_NODEFER, 0);
	CHECK(raise(SIGUSR1) == 0 && deepest == 4 && runs == 4);
	install(nested, (int)SA_RESETHAND, 0);
	runs = 9;
	CHECK(raise(SIGUSR1) == 0 && sigaction(SIGUSR1, NULL, &now_set) == 0 && now_set.sa_handler == SIG_DFL);
	hop();
	install(on_stack, SA_ONSTACK, SIGUSR2);
	use_stack(0);
	CHECK(raise(SIGUSR1) == 0 && seen.ss_flags == SS_ONSTACK && seen.ss_sp == alternate);
	CHECK(sigismember(&during, SIGUSR1) && sigismember(&during, SIGUSR2) && !sigismember(&during, SIGTERM));
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &during) == 0 && !sigismember(&during, SIGUSR1));
	use_stack((int)SS_AUTODISARM);
	CHECK(raise(SIGUSR1) == 0 && seen.ss_flags == SS_DISABLE);
	CHECK(sigaltstack(NULL, &ss) == 0 && ss.ss_sp == alternate && ss.ss_flags == (int)SS_AUTODISARM);
	use_stack(0);
	install(jump, SA_ONSTACK, 0);
	for (int i = 0; i < 4; i++) {
		if (sigsetjmp(out, 1) == 0)
			raise(SIGUSR1);
		CHECK(sigaltstack(NULL, &ss) == 0 && ss.ss_flags == 0);
		use_stack(0);
		hop();
	}
	success();
	return 0;
}
