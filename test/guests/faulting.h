/* Touching memory that may not be touched, and living to tell. */
#ifndef FAULTING_H
#define FAULTING_H

#include "guest.h"

static _Thread_local sigjmp_buf fault_back;
static _Thread_local siginfo_t fault_info;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	fault_info = *si;
	siglongjmp(fault_back, 1);
}

static inline void catch_faults(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	CHECK(sigaction(SIGSEGV, &sa, NULL) == 0 && sigaction(SIGBUS, &sa, NULL) == 0);
}

/* The si_code a read or write of *p faults with, 0 when it does not; the address is checked too. */
static inline int probe(volatile char *p, bool write)
{
	if (sigsetjmp(fault_back, 1) == 0) {
		if (write)
			*p = *p + 1 - 1;
		else
			(void)*p;
		return 0;
	}
	CHECK(fault_info.si_addr == (void *)p);
	return fault_info.si_code;
}

#define READS(p) (probe((volatile char *)(p), false) == 0)
#define WRITES(p) (probe((volatile char *)(p), true) == 0)
#define UNMAPPED(p) (probe((volatile char *)(p), false) == SEGV_MAPERR)
#define NO_READ(p) (probe((volatile char *)(p), false) == SEGV_ACCERR)
#define NO_WRITE(p) (probe((volatile char *)(p), true) == SEGV_ACCERR)

static inline char *map_pages(int n)
{
	char *p = mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

#endif
