/* The frame of a litmus test: threads on given nodes run tiny programs on shared variables, cell after cell, and no
 * cell may show a result that x86-TSO forbids.
 *
 * Arguments: rounds, nodes ("0,1": thread t goes to the t-th of them, round and round), and "same" or "diff": whether
 * the variables of a cell share a page or have one each.
 *
 * Cells are run in batches between barriers, so that the threads race through one batch with no other order between
 * them than the one under test. A file defines THREADS, body(t, c) and forbidden(c), and calls litmus_main().
 */
#ifndef LITMUS_H
#define LITMUS_H

#include "guest.h"

enum { BATCH = 32, VARS = 4, REGS = 4, MOST_THREADS = 8 };

static long rounds;
static int node_of[MOST_THREADS], node_count;
static bool same_page;

static struct {
	_Atomic int cell[PAGE / sizeof(int)];
} var_pages[VARS] __attribute__((aligned(PAGE)));

static inline _Atomic int *var(int k, int c)
{
	return same_page ? &var_pages[0].cell[c * VARS + k] : &var_pages[k].cell[c];
}

/* Plain loads and stores on x86; no stronger, but ordered for the compiler. */
#define ST(k, value) atomic_store_explicit(var(k, c), value, memory_order_release)
#define LD(k) atomic_load_explicit(var(k, c), memory_order_acquire)
#define FENCE() atomic_thread_fence(memory_order_seq_cst)

static inline void litmus_args(int argc, char **argv)
{
	CHECK(argc == 4);
	rounds = atol(argv[1]);
	for (char *p = strtok(argv[2], ","); p && node_count < MOST_THREADS; p = strtok(NULL, ","))
		node_of[node_count++] = atoi(p);
	same_page = strcmp(argv[3], "same") == 0;
	CHECK(rounds > 0 && node_count > 0);
}

static inline void litmus_place(long t) { go(node_of[t % node_count]); }

/* A barrier of threads that yield while they wait. */
static struct {
	_Atomic int arrived, turn;
} litmus_gate __attribute__((aligned(PAGE)));

static inline void litmus_meet(int threads)
{
	int turn = atomic_load(&litmus_gate.turn);

	if (atomic_fetch_add(&litmus_gate.arrived, 1) + 1 == threads) {
		atomic_store(&litmus_gate.arrived, 0);
		atomic_store(&litmus_gate.turn, turn + 1);
	}
	while (atomic_load(&litmus_gate.turn) == turn)
		sched_yield();
}

/* Now and then a thread of a loop waits for the others, so that none is through before the next has begun. */
static inline void litmus_keep_pace(long i, int threads)
{
	if (i % 128 == 0)
		litmus_meet(threads);
}

#ifdef THREADS
/* What a thread read, on a page of its own. */
static struct {
	int reg[BATCH][REGS];
} __attribute__((aligned(PAGE), unused)) read_by[THREADS];
#define REG(t, i) read_by[t].reg[c][i]

static void body(int t, int c);
static bool forbidden(int c);

static void reset(void)
{
	for (int c = 0; c < BATCH; c++)
		for (int k = 0; k < VARS; k++)
			atomic_store_explicit(var(k, c), 0, memory_order_relaxed);
}

static void *litmus_thread(void *arg)
{
	int t = (long)arg;
	uint32_t x = t + 1;

	litmus_place(t);
	for (long done = 0; done < rounds; done += BATCH) {
		litmus_meet(THREADS);
		for (int c = 0; c < BATCH; c++) {
			/* A thread must not always win: now and then it lets the others by. */
			x = x * 1664525 + 1013904223;
			if (x >> 29 == 0)
				sched_yield();
			body(t, c);
		}
		litmus_meet(THREADS);
		if (t != 0)
			continue;
		for (int c = 0; c < BATCH; c++)
			CHECK(!forbidden(c));
		reset();
	}
	return NULL;
}

static inline int litmus_main(int argc, char **argv)
{
	litmus_args(argc, argv);
	run_threads(THREADS, litmus_thread);
	success();
	return 0;
}
#endif

#endif
