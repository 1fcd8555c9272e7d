// calls: clone3 rt_sigaction rt_sigprocmask rt_sigreturn tgkill
#include "guest.h"
#include <ucontext.h>

static volatile int next_node;

/* Goes over the bad instruction, changes what the program will find in registers, and the mask. */
static void mend(int sig, siginfo_t *si, void *p)
{
	ucontext_t *uc = p;

	(void)sig, (void)si;
	go(next_node);
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	uc->uc_mcontext.gregs[REG_RAX] = 0x1234567890;
	uc->uc_mcontext.fpregs->_xmm[5].element[0] = 77;
	sigaddset(&uc->uc_sigmask, SIGUSR2);
	go((next_node + 1) % 3 % (nodes() ? nodes() : 1));
}

static void count(int sig) { (void)sig; }

static void *worker(void *arg)
{
	sigset_t mask, usr2;

	sigemptyset(&usr2), sigaddset(&usr2, SIGUSR2);
	for (int i = 0; i < 6; i++) {
		long rax = 0, rbx = 41 + i, kept = 0;
		int xmm = 0;

		place((long)arg + i);
		next_node = nodes() ? (i + 2) % nodes() : 0;
		__asm__ volatile("mov %3, %%rbx; pxor %%xmm5, %%xmm5; ud2; movd %%xmm5, %1; mov %%rbx, %2"
				 : "=&a"(rax), "=&r"(xmm), "=&r"(kept) : "r"(rbx) : "rbx", "xmm5");
		CHECK(rax == 0x1234567890 && xmm == 77 && kept == 41 + i);
		CHECK(pthread_sigmask(SIG_UNBLOCK, &usr2, &mask) == 0 && sigismember(&mask, SIGUSR2));
	}
	return NULL;
}

static ucontext_t main_context, other;
static int turns;
static char stack[65536];

static void coroutine(void)
{
	for (;;) {
		turns++;
		hop();
		CHECK(swapcontext(&other, &main_context) == 0);
	}
}

static sigjmp_buf out;
static void jump(int sig) { (void)sig, go(next_node), siglongjmp(out, 5); }

/* A handler that moves, returns to changed registers and another mask; siglongjmp out of it; contexts that swap. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
	sigset_t mask;

	CHECK(sigaction(SIGILL, &sa, NULL) == 0 && signal(SIGUSR2, count) != SIG_ERR && signal(SIGUSR1, jump) != SIG_ERR);
	run_threads(1, worker);
	for (int i = 0; i < 5; i++) {
		next_node = nodes() ? (i + 1) % nodes() : 0;
		hop();
		int r = sigsetjmp(out, 1);

		if (r == 0)
			raise(SIGUSR1);
		CHECK(r == 5 || r == 0);
		CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGUSR1));
	}
	CHECK(getcontext(&other) == 0);
	other.uc_stack.ss_sp = stack, other.uc_stack.ss_size = sizeof stack;
	makecontext(&other, coroutine, 0);
	for (int i = 1; i < 6; i++) {
		CHECK(swapcontext(&main_context, &other) == 0 && turns == i);
		hop();
	}
	success();
	return 0;
}
