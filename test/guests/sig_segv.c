// args: 20
// soak: 1000
// calls: clone3 mprotect rt_sigaction
#include "faulting.h"

static int rounds;

/* Synchronous faults on every node: null, unmapped, read-only, bad instruction, division; address and code are true. */
static void *worker(void *arg)
{
	char *page = map_pages(1);
	int me = (long)arg;

	CHECK(mprotect(page, PAGE, PROT_READ) == 0);
	for (int i = 0; i < rounds; i++) {
		if (i % 5 == 0)
			place(me + i / 5);
		CHECK(UNMAPPED(NULL) && UNMAPPED((char *)0x123456) && NO_WRITE(page + me));
		if (sigsetjmp(fault_back, 1) == 0) {
#if defined(__x86_64__)
			__asm__ volatile("ud2");
#else
			__asm__ volatile(".inst 0");
#endif
			CHECK(!"illegal instruction");
		}
		CHECK(fault_info.si_signo == SIGILL && fault_info.si_code == ILL_ILLOPN);
#if defined(__x86_64__)
		if (sigsetjmp(fault_back, 1) == 0) {
			__asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cltd; idiv %%ecx" ::: "eax", "ecx", "edx");
			CHECK(!"division by zero");
		}
		CHECK(fault_info.si_signo == SIGFPE && fault_info.si_code == FPE_INTDIV);
#endif
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	rounds = argc > 1 ? atoi(argv[1]) : 100;
	catch_faults();
	CHECK(sigaction(SIGILL, &sa, NULL) == 0 && sigaction(SIGFPE, &sa, NULL) == 0);
	run_threads(3, worker);
	success();
	return 0;
}
