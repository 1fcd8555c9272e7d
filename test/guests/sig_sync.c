// calls: clone3 ftruncate mmap mprotect munmap openat rt_sigaction
#include "guest.h"
#include <ucontext.h>

static _Thread_local volatile int sig_seen, code_seen;
static _Thread_local void *volatile addr_seen;
static _Thread_local volatile greg_t trapno_seen;
static _Thread_local sigjmp_buf back;

static void handler(int sig, siginfo_t *si, void *uc)
{
	mcontext_t *m = &((ucontext_t *)uc)->uc_mcontext;

	sig_seen = sig, code_seen = si->si_code, addr_seen = si->si_addr;
	trapno_seen = m->gregs[REG_TRAPNO];
	m->gregs[REG_EFL] &= ~0x40100l; /* TF, AC */
	siglongjmp(back, 1);
}

#define CAUSES(what, sig, code, address, trap)                                                                     \
	do {                                                                                                        \
		sig_seen = 0;                                                                                        \
		if (sigsetjmp(back, 1) == 0) {                                                                       \
			what;                                                                                        \
			CHECK(!"no signal");                                                                         \
		}                                                                                                    \
		if (sig_seen != sig || code_seen != code || addr_seen != (void *)(address) || trapno_seen != trap)   \
			dprintf(2, "%s: signal %d code %d addr %p trap %ld\n", #what, sig_seen, code_seen, addr_seen, \
				(long)trapno_seen);                                                                  \
		CHECK(sig_seen == sig && code_seen == code && addr_seen == (void *)(address) && trapno_seen == trap); \
	} while (0)

extern char at_ud2[], after_int3[], at_div[], at_fdiv[], after_step[];
static const double one = 1.0, zero;

static __attribute__((noinline)) void ud2(void) { __asm__ volatile(".globl at_ud2; at_ud2: ud2"); }
static __attribute__((noinline)) void int3(void) { __asm__ volatile("int3; .globl after_int3; after_int3: nop"); }
static __attribute__((noinline)) void divide(void)
{
	__asm__ volatile("xor %%ecx, %%ecx; mov $1, %%eax; cltd; .globl at_div; at_div: idiv %%ecx" ::: "eax", "ecx", "edx");
}
static __attribute__((noinline)) void fdivide(void)
{
	unsigned csr = 0x1f80 & ~0x200; /* unmask division by zero */

	__asm__ volatile("ldmxcsr %0; movsd %1, %%xmm0; .globl at_fdiv; at_fdiv: divsd %2, %%xmm0"
			 :: "m"(csr), "m"(one), "m"(zero) : "xmm0");
}
static __attribute__((noinline)) void step(void)
{
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushf; orl $0x100, (%%rsp); popf; nop; .globl after_step; after_step: nop" ::: "cc", "memory");
}

static void *worker(void *arg)
{
	char *file, *none = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("short", O_CREAT | O_RDWR, 0600);
	unsigned csr = 0x1f80;

	CHECK(ftruncate(fd, 10) == 0 && mprotect(none, PAGE, PROT_NONE) == 0 && munmap(none + PAGE, PAGE) == 0);
	file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(file != MAP_FAILED);
	for (int i = 0; i < 6; i++) {
		place((long)arg + i);
		CAUSES(*(volatile char *)none = 1, SIGSEGV, SEGV_ACCERR, none, 14);
		CAUSES((void)*(volatile char *)(none + PAGE + 5), SIGSEGV, SEGV_MAPERR, none + PAGE + 5, 14);
		CAUSES((void)*(volatile char *)0x8000000000001234, SIGSEGV, SI_KERNEL, NULL, 13);
		CAUSES(__asm__ volatile("hlt"), SIGSEGV, SI_KERNEL, NULL, 13);
		CAUSES((void)*(volatile char *)(file + PAGE), SIGBUS, BUS_ADRERR, file + PAGE, 14);
		CAUSES(ud2(), SIGILL, ILL_ILLOPN, at_ud2, 6);
		CAUSES(int3(), SIGTRAP, SI_KERNEL, NULL, 3);
		CAUSES(divide(), SIGFPE, FPE_INTDIV, at_div, 0);
		CAUSES(fdivide(), SIGFPE, FPE_FLTDIV, at_fdiv, 19);
		__asm__ volatile("ldmxcsr %0" :: "m"(csr));
		CAUSES(step(), SIGTRAP, TRAP_TRACE, after_step, trapno_seen); /* told at home, where nothing was trapped */
	}
	return NULL;
}

/* What a thread does wrong is told to it as at home: signal, code, address and trap number. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	const int sigs[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

	for (int i = 0; i < 5; i++)
		CHECK(sigaction(sigs[i], &sa, NULL) == 0);
	run_threads(3, worker);
	success();
	return 0;
}
