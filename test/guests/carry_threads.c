// only: checkpoint
// build: -msse4.1
/* Threads go on: in mutexes, conditions and sleeps, with their thread-local storage, names, vector registers and ids. */
#include "carry.h"

#include <immintrin.h>
#include <sys/prctl.h>

#define N 6
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, recursive;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_int ready, spinning, stop;
static int woken, turn;
static _Thread_local uint64_t mine;
static pid_t tids[N];

static void *waits(void *arg)
{
	long i = (long)arg;
	char name[16];

	snprintf(name, sizeof(name), "waits-%ld", i);
	CHECK(prctl(PR_SET_NAME, name) == 0);
	mine = 1000 + i;
	tids[i] = syscall(SYS_gettid);
	CHECK(pthread_mutex_lock(&lock) == 0);
	ready++;
	while (!turn)
		CHECK(pthread_cond_wait(&cond, &lock) == 0);
	woken++;
	CHECK(pthread_mutex_unlock(&lock) == 0);
	char now[16];
	CHECK(prctl(PR_GET_NAME, now) == 0 && strcmp(now, name) == 0);
	CHECK(mine == 1000 + (uint64_t)i && syscall(SYS_gettid) == tids[i]);
	return (void *)(i + 1);
}

/* Keeps a sum in registers only, while others look at what it has reached. */
static void *spins(void *arg)
{
	__m128i v = _mm_set_epi64x(0x1122334455667788, (long)arg), one = _mm_set_epi64x(0, 1);
	double x = 1.5;

	CHECK(pthread_mutex_lock(&recursive) == 0 && pthread_mutex_lock(&recursive) == 0);
	spinning++;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		__asm__ volatile("" : "+x"(v), "+x"(x));
		v = _mm_add_epi64(v, one);
	}
	CHECK(_mm_extract_epi64(v, 1) == 0x1122334455667788 && x == 1.5);
	CHECK(pthread_mutex_unlock(&recursive) == 0 && pthread_mutex_unlock(&recursive) == 0);
	return NULL;
}

int main(void)
{
	pthread_t w[N], s;
	pthread_mutexattr_t a;
	pid_t pid = getpid();
	void *ret;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&recursive, &a);
	for (long i = 0; i < N; i++)
		CHECK(pthread_create(&w[i], NULL, waits, (void *)i) == 0);
	CHECK(pthread_create(&s, NULL, spins, (void *)7) == 0);
	while (ready < N || !spinning)
		sleep_ms(1);
	saved();
	CHECK(getpid() == pid && syscall(SYS_gettid) == pid);
	stop = 1;
	CHECK(pthread_join(s, NULL) == 0);
	CHECK(pthread_mutex_lock(&lock) == 0);
	turn = 1;
	CHECK(pthread_cond_broadcast(&cond) == 0 && pthread_mutex_unlock(&lock) == 0);
	for (long i = 0; i < N; i++)
		CHECK(pthread_join(w[i], &ret) == 0 && (long)ret == i + 1);
	CHECK(woken == N);
	CHECK(pthread_create(&s, NULL, waits, (void *)0) == 0 && pthread_join(s, &ret) == 0 && (long)ret == 1);
	success();
}
