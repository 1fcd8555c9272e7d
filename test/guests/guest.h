/* What every guest shares: a check that says where it failed, threads by number, and moves that insist on the truth.
 *
 * A guest is one page of C that checks itself, prints the same standard output wherever its threads ran, and ends with
 * the line EXIT-SUCCESS. Comment lines at its top tell the harness how to build and start it: see doc.go.
 */
#ifndef GUEST_H
#define GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "popcorn.h"

#define PAGE 4096
#define CHECK(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

static inline _Noreturn void check_failed(const char *file, int line, const char *what)
{
	dprintf(2, "%s:%d: %s is false (errno %d %s, node %d)\n", file, line, what, errno, strerror(errno),
		popcorn_current_nid());
	_exit(99);
}

static inline void success(void)
{
	puts("EXIT-SUCCESS");
	fflush(stdout);
}

/* Nodes of this job: 0 on a plain kernel. The harness says so; the guest would not believe itself. */
static inline int nodes(void)
{
	const char *n = getenv("POPCORN_TEST_NODES");

	return n ? atoi(n) : 0;
}

/* Moves the calling thread to nid, or checks that the refusal is the documented one. */
static inline void go(int nid)
{
	int err = migrate(nid, NULL, NULL);

	errno = err;
	if (nodes() == 0) {
		CHECK(err == ENOSYS);
	} else if (nid >= nodes()) {
		CHECK(err == EAGAIN);
	} else if (!getenv("POPCORN_TEST_TROUBLE")) {
		CHECK(err == 0 || err == EBUSY);
		CHECK(popcorn_current_nid() == nid);
	} else { /* a node may be lost, and a checkpoint takes threads home for a moment */
		CHECK(err == 0 || err == EBUSY || err == EAGAIN);
	}
}

/* Thread number t of many to its share of the nodes. */
static inline void place(int t)
{
	go(nodes() ? t % nodes() : 0);
}

/* A step to the next node, when the harness asks for a restless run; else nothing. */
static inline void hop(void)
{
	static _Thread_local int step;

	if (nodes() && getenv("POPCORN_TEST_HOP"))
		place(++step);
}

static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static inline void sleep_ms(int ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};

	while (nanosleep(&ts, &ts) != 0)
		CHECK(errno == EINTR);
}

/* Runs fn(0) .. fn(n-1), each in a thread of its own, and joins them all. */
#define MAX_THREADS 512
static inline void run_threads(int n, void *(*fn)(void *))
{
	pthread_t threads[MAX_THREADS];

	CHECK(n <= MAX_THREADS);
	for (long i = 0; i < n; i++)
		CHECK(pthread_create(&threads[i], NULL, fn, (void *)i) == 0);
	for (int i = 0; i < n; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

static inline long sys_futex(uint32_t *word, int op, uint32_t val, const void *timeout_or_val2, uint32_t *word2,
			     uint32_t val3)
{
	return syscall(SYS_futex, word, op, val, timeout_or_val2, word2, val3);
}

/* FNV-1a over bytes: the same on every node, or memory is wrong. */
static inline uint64_t hash_bytes(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t h = 1469598103934665603ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	return h;
}

#endif
