/* SPDX-License-Identifier: Apache-2.0
 *
 * popcorn.h - a program's own word about where its threads run.
 *
 * Header only: include it and call; there is nothing to link. C99 and later, and C++. Every function is static, so two
 * files of one program may include it.
 *
 * A program that uses it runs everywhere. Under `popcorn run` the calls move threads; on a plain kernel they fail with
 * ENOSYS and the thread simply stays where it is.
 *
 * Two conventions, as in the library Popcorn Linux has:
 *   - popcorn_*() return 0, or -1 with errno set, as system calls do;
 *   - migrate(), migrate_schedule() and check_migrate() return 0 or a *positive* errno, and leave errno alone.
 *
 * Not here: starting programs, moving threads of other programs (see popcorn(1)).
 */
#ifndef POPCORN_H
#define POPCORN_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#else
/* Hidden by -std=c99 without a feature macro; C++ always sees them. */
extern long syscall(long number, ...);
extern int posix_memalign(void **out, size_t alignment, size_t size);
#endif

#if defined(__GNUC__) || defined(__clang__)
#define POPCORN_FN static inline __attribute__((unused))
#else
#define POPCORN_FN static inline
#endif

/* System call numbers, the same on x86-64 and arm64. Define them beforehand for programs that shall run on the older
 * families (4.4: 330..333, 285..288 on arm64) under `popcorn run --abi`. */
#ifndef SYSCALL_POPCORN_MIGRATE
#define SYSCALL_POPCORN_MIGRATE 900
#endif
#ifndef SYSCALL_POPCORN_PROPOSE_MIGRATION
#define SYSCALL_POPCORN_PROPOSE_MIGRATION 901
#endif
#ifndef SYSCALL_POPCORN_GET_THREAD_STATUS
#define SYSCALL_POPCORN_GET_THREAD_STATUS 902
#endif
#ifndef SYSCALL_POPCORN_GET_NODE_INFO
#define SYSCALL_POPCORN_GET_NODE_INFO 903
#endif

#ifndef SYSCALL_POPCORN_TELEFORK
#define SYSCALL_POPCORN_TELEFORK 904
#endif
#ifndef SYSCALL_POPCORN_CHECKPOINT
#define SYSCALL_POPCORN_CHECKPOINT 905
#endif

/* Node numbers are 0 .. MAX_POPCORN_NODES-1. */
#define MAX_POPCORN_NODES 32

/* popcorn_migrate(POPCORN_PROPOSED_NODE): to the node somebody proposed for the calling thread. */
#define POPCORN_PROPOSED_NODE (-1)

enum popcorn_node_status {
	POPCORN_NODE_OFFLINE = 0,
	POPCORN_NODE_ONLINE = 1
};

enum popcorn_arch_types {
	POPCORN_NODE_UNKNOWN = -1,
	POPCORN_NODE_AARCH64 = 0,
	POPCORN_NODE_X86 = 1,
	POPCORN_NODE_PPC64 = 2,
	POPCORN_NODE_RISCV64 = 3
};

/* One node as seen from here. */
struct popcorn_node_info {
	unsigned int status; /* enum popcorn_node_status */
	int arch;            /* enum popcorn_arch_types */
	int distance;        /* 0 today */
};

/* Where a thread is. */
struct popcorn_thread_status {
	int current_nid;  /* the node it runs on */
	int proposed_nid; /* the node proposed for it, or -1 */
	int peer_nid;     /* away: the node of its other half; at home: -1 */
	pid_t peer_pid;   /* away: the thread id of its other half; at home: -1 */
};

/* The register set popcorn_migrate_regs() resumes from, in the destination's layout. */
#if defined(__x86_64__)
struct popcorn_regset {
	unsigned long rip;
	unsigned long rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp;
	unsigned long r8, r9, r10, r11, r12, r13, r14, r15;
	unsigned long mmx[8];
	struct {
		unsigned long low, high;
	} __attribute__((aligned(16))) xmm[16];
	long double st[8];
	unsigned int cs, ss, ds, es, fs, gs;
	unsigned long rflags;
};
#elif defined(__aarch64__)
struct popcorn_regset {
	unsigned long sp;
	unsigned long pc;
	unsigned long x[31];
	struct {
		unsigned long low, high;
	} __attribute__((aligned(16))) v[32];
};
#endif

/* Moves the calling thread to node nid and returns there.
 * 0: the thread now runs on nid. -1 and errno:
 *   EINVAL  nid is outside -1 .. 31, or -1 and nothing was proposed
 *   EBUSY   the thread is on nid already
 *   EAGAIN  nid is not online
 *   ENOSYS  not running under popcorn */
POPCORN_FN int popcorn_migrate(int nid)
{
	return (int)syscall(SYSCALL_POPCORN_MIGRATE, (long)nid, (void *)0);
}

#if defined(__x86_64__) || defined(__aarch64__)
/* Moves the calling thread to node nid and resumes it from *regs, on the stack that set names, with 0 in the result
 * register whatever the set holds. Returns only on error: as popcorn_migrate, and EFAULT when regs cannot be read. */
POPCORN_FN int popcorn_migrate_regs(int nid, const struct popcorn_regset *regs)
{
	return (int)syscall(SYSCALL_POPCORN_MIGRATE, (long)nid, regs);
}
#endif

/* Notes that thread tid (0: the caller) should go to node nid; -1 takes a proposal back. Nothing moves until that
 * thread itself calls popcorn_migrate(POPCORN_PROPOSED_NODE) or check_migrate().
 * -1 and errno: EINVAL nid outside -1 .. 31; ENOENT no such thread; EPERM not yours to kill; ENOSYS no popcorn. */
POPCORN_FN int popcorn_propose_migration(pid_t tid, int nid)
{
	return (int)syscall(SYSCALL_POPCORN_PROPOSE_MIGRATION, (long)tid, (long)nid);
}

/* Fills *status for the calling thread. -1 and errno: EINVAL bad pointer; ENOSYS no popcorn. */
POPCORN_FN int popcorn_get_status(struct popcorn_thread_status *status)
{
	return (int)syscall(SYSCALL_POPCORN_GET_THREAD_STATUS, status);
}

/* Fills *my_nid with the calling thread's node and info[0 .. MAX_POPCORN_NODES-1] with all nodes.
 * -1 and errno: EINVAL bad pointer; ENOSYS no popcorn. */
POPCORN_FN int popcorn_get_node_info(int *my_nid, struct popcorn_node_info *info)
{
	return (int)syscall(SYSCALL_POPCORN_GET_NODE_INFO, my_nid, info);
}

/* The node the calling thread runs on; -1 when unknown (no popcorn). errno is left alone. */
POPCORN_FN int popcorn_current_nid(void)
{
	struct popcorn_thread_status status;
	int saved = errno;
	int nid = popcorn_get_status(&status) == 0 ? status.current_nid : -1;

	errno = saved;
	return nid;
}

/* The calling thread's kernel thread id; the same on every node. */
POPCORN_FN pid_t popcorn_gettid(void)
{
	return (pid_t)syscall(SYS_gettid);
}

/* As fork(), but the child runs at node nid: it is a job of its own there, and a child of this process in everything
 * (its id, wait, signals, open files). Returns the child's id in the parent and 0 in the child; -1 and errno:
 *   EINVAL  nid is outside 0 .. 31
 *   EAGAIN  nid is not online, or as fork()
 *   EPERM   the caller lives under a seccomp filter of its own
 *   ENOSYS  not running under popcorn
 * Should the child not get to its node after all (it is lost, say), it runs at home, and popcorn says so on standard error.
 * Languages without fork() make the system call with 0 as second argument, which forks by itself. */
POPCORN_FN pid_t popcorn_telefork(int nid)
{
	pid_t child;
	int err;

	if (syscall(SYSCALL_POPCORN_TELEFORK, (long)nid, 1L) != 0) /* says where the next fork's child goes */
		return -1;
	child = fork(); /* the C library's: what it has to do about other threads is done */
	if (child < 0) {
		err = errno;
		syscall(SYSCALL_POPCORN_TELEFORK, 0L, 2L); /* not the next one */
		errno = err;
	}
	return child;
}

/* Makes n children at once, the i-th at node nids[i]. Returns -1 in the parent, whose children's ids are then in
 * children[0 .. n-1] (-1 for one that could not be made: errno is that of the last), and i in the i-th child. */
POPCORN_FN int popcorn_telefork_many(const int *nids, int n, pid_t *children)
{
	int i;

	for (i = 0; i < n; i++) {
		children[i] = popcorn_telefork(nids[i]);
		if (children[i] == 0)
			return i;
	}
	return -1;
}

/* Runs fn(arg) in a copy of this process at node nid and returns what fn returned, 0 .. 255, once it is over. What fn
 * writes to memory stays there. -1 and errno as popcorn_telefork and waitpid; ECHILD too when a signal ended it. */
POPCORN_FN int popcorn_yoyo(int nid, int (*fn)(void *), void *arg)
{
	int status;
	pid_t got;
	pid_t child = popcorn_telefork(nid);

	if (child < 0)
		return -1;
	if (child == 0)
		_exit(fn(arg));
	do {
		got = waitpid(child, &status, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	if (!WIFEXITED(status)) {
		errno = ECHILD;
		return -1;
	}
	return WEXITSTATUS(status);
}

/* Saves this job, all of its threads, to the file path, for `popcorn restore`: as setjmp() does, it returns 0 once that is
 * written, and 1 in the program that is restored from it. An older file is replaced when the new one is whole. -1 and errno:
 *   EBUSY       the job is being saved
 *   EOPNOTSUPP  something of it cannot be carried: popcorn says what on standard error
 *   EFAULT, ENAMETOOLONG, and what open(), write(), fsync() and rename() say of the path
 *   ENOSYS      not running under popcorn */
POPCORN_FN int popcorn_checkpoint(const char *path)
{
	return (int)syscall(SYSCALL_POPCORN_CHECKPOINT, path);
}

/* Memory that shares no page with anything else: page-aligned, whole pages, at least one. Free it with free().
 * NULL and errno ENOMEM when there is none. For data of one thread, so that no other node pulls its page away. */
POPCORN_FN void *popcorn_malloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = size / page + (size % page != 0 || size == 0);
	void *out = NULL;
	int err = ENOMEM;

	if (pages <= (size_t)-1 / page)
		err = posix_memalign(&out, page, pages * page);
	if (err != 0) {
		errno = err;
		return NULL;
	}
	return out;
}

/* A hint that this node no longer needs its copies of [start, start+len). Today it does nothing and returns 0:
 * the numbers the originals gave madvise for it (18, 20) mean other things on today's kernels. */
POPCORN_FN int popcorn_release_ownership(void *start, size_t len)
{
	(void)start;
	(void)len;
	return 0;
}

/* Moves the calling thread to node nid, runs cb(arg) there (cb may be NULL), and returns 0; on failure it returns a
 * positive errno (see popcorn_migrate) and cb does not run. nid -1: the proposed node. */
POPCORN_FN int migrate(int nid, void (*cb)(void *), void *arg)
{
	int saved = errno;
	int err = popcorn_migrate(nid) == 0 ? 0 : errno;

	errno = saved;
	if (err == 0 && cb != NULL)
		cb(arg);
	return err;
}

/* Looks (region, tid) up in an open schedule; -1 when it is not there. */
POPCORN_FN int popcorn_schedule_lookup(FILE *schedule, unsigned long region, int tid)
{
	unsigned long line_region;
	int count;

	while (fscanf(schedule, "%lu %d", &line_region, &count) == 2) {
		int found = -1;
		int i;

		for (i = 0; i < count; i++) {
			int nid;

			if (fscanf(schedule, "%d", &nid) != 1)
				return -1;
			if (i == tid)
				found = nid;
		}
		if (line_region == region)
			return found;
	}
	return -1;
}

/* Moves the calling thread, the program's own thread number tid, to the node the schedule gives for this region, then
 * as migrate(). The schedule is the file POPCORN_THREAD_SCHEDULE names, or thread-schedule.txt in the working directory;
 * a line is `<region> <n> <node of thread 0> ... <node of thread n-1>`. It is read at every call, so it may be edited
 * while the program runs.
 * 0 also when the thread is there already (cb does not run); ENOENT without a schedule or without an entry. */
POPCORN_FN int migrate_schedule(size_t region, int tid, void (*cb)(void *), void *arg)
{
	const char *path = getenv("POPCORN_THREAD_SCHEDULE");
	int saved = errno;
	FILE *schedule = fopen(path != NULL && path[0] != '\0' ? path : "thread-schedule.txt", "r");
	int nid = -1;
	int err;

	if (schedule != NULL) {
		nid = popcorn_schedule_lookup(schedule, (unsigned long)region, tid);
		fclose(schedule);
	}
	errno = saved;
	if (nid < 0)
		return ENOENT;
	err = migrate(nid, cb, arg);
	return err == EBUSY ? 0 : err;
}

/* The short names of the compiler's run time. Define POPCORN_NO_SHORT_NAMES to do without. */
#ifndef POPCORN_NO_SHORT_NAMES

/* 1 when node nid is online, else 0. errno is left alone. */
POPCORN_FN int node_available(int nid)
{
	struct popcorn_node_info info[MAX_POPCORN_NODES];
	int saved = errno;
	int here;
	int online = nid >= 0 && nid < MAX_POPCORN_NODES && popcorn_get_node_info(&here, info) == 0 &&
		     info[nid].status == POPCORN_NODE_ONLINE;

	errno = saved;
	return online;
}

/* The node the calling thread runs on; -1 when unknown. */
POPCORN_FN int current_nid(void)
{
	return popcorn_current_nid();
}

/* A migration point: goes where somebody proposed for this thread, if anybody did, then as migrate().
 * 0 when it moved, or nothing was proposed (cb does not run then). */
POPCORN_FN int check_migrate(void (*cb)(void *), void *arg)
{
	struct popcorn_thread_status status;
	int saved = errno;
	int proposed = popcorn_get_status(&status) == 0 && status.proposed_nid >= 0 &&
		       status.proposed_nid != status.current_nid;

	errno = saved;
	return proposed ? migrate(POPCORN_PROPOSED_NODE, cb, arg) : 0;
}

#endif /* POPCORN_NO_SHORT_NAMES */

#ifdef __cplusplus
}
#endif

#endif /* POPCORN_H */
