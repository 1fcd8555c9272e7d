// calls: clock_nanosleep clone3 getpid getuid kill rt_sigaction rt_sigprocmask rt_sigreturn
// calls: rt_tgsigqueueinfo tgkill
#include "guest.h"

#define THREADS 4
static _Atomic int is_open[THREADS], open_one = -1, taken_by = -1, value, code, stop, ready;
static _Thread_local int me = -1;
static pid_t tids[THREADS];

static void handler(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)uc;
	value = si->si_value.sival_int;
	code = si->si_code;
	taken_by = me;
}

static void *worker(void *arg)
{
	sigset_t usr;
	struct timespec ts = {0, 1000000};

	me = (long)arg;
	sigemptyset(&usr), sigaddset(&usr, SIGUSR1);
	place(me);
	tids[me] = popcorn_gettid();
	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&stop)) {
		int mine = atomic_load(&open_one) == me;

		CHECK(pthread_sigmask(mine ? SIG_UNBLOCK : SIG_BLOCK, &usr, NULL) == 0);
		atomic_store(&is_open[me], mine);
		if (me % 2)
			nanosleep(&ts, NULL); /* the others compute */
	}
	return NULL;
}

static int queue_to(pid_t tgid, pid_t tid, int sig, int v)
{
	siginfo_t si = {.si_signo = sig, .si_code = SI_QUEUE};

	si.si_pid = getpid(), si.si_uid = getuid(), si.si_value.sival_int = v;
	return syscall(SYS_rt_tgsigqueueinfo, tgid, tid, sig, &si);
}

/* Returns when one thread alone lets the signal in, or with -1 none does. */
static void open_for(int who)
{
	atomic_store(&taken_by, -1), atomic_store(&open_one, who);
	for (int i = 0; i < THREADS; i++)
		while (atomic_load(&is_open[i]) != (i == who))
			sched_yield();
}

static void wait_for(int who)
{
	while (atomic_load(&taken_by) != who)
		sched_yield();
}

/* A signal to the process goes to the thread that does not block it, one to a thread to no other, wherever they are. */
int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigset_t usr;
	pthread_t t[THREADS];

	sigemptyset(&usr), sigaddset(&usr, SIGUSR1), pthread_sigmask(SIG_BLOCK, &usr, NULL);
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && sigaction(SIGUSR2, &sa, NULL) == 0);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)i);
	while (atomic_load(&ready) < THREADS)
		sched_yield();
	for (int r = 0; r < 3 * THREADS; r++) {
		open_for(r % THREADS);
		hop();
		CHECK(kill(getpid(), SIGUSR1) == 0);
		wait_for(r % THREADS);
		CHECK(code == SI_USER);
		open_for(-1);
		CHECK(queue_to(getpid(), tids[r % THREADS], SIGUSR2, 300 + r) == 0);
		wait_for(r % THREADS);
		CHECK(code == SI_QUEUE && value == 300 + r);
		taken_by = -1;
		CHECK(pthread_sigqueue(t[r % THREADS], SIGUSR2, (union sigval){.sival_int = r}) == 0);
		wait_for(r % THREADS);
		taken_by = -1;
		CHECK(syscall(SYS_tgkill, getpid(), tids[r % THREADS], SIGUSR2) == 0);
		wait_for(r % THREADS);
		CHECK(code == SI_TKILL);
	}
	CHECK(syscall(SYS_tgkill, getpid(), 0x3fffff, SIGUSR2) == -1 && errno == ESRCH);
	CHECK(syscall(SYS_tgkill, tids[0], tids[1], SIGUSR2) == -1 && errno == ESRCH);
	CHECK(queue_to(getpid(), tids[0], SIGUSR2, 0) == 0);
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	/* A thread that was joined is there until its kernel part has ended. */
	for (int i = 0; syscall(SYS_tgkill, getpid(), tids[0], 0) == 0; i++)
		CHECK(i < 1000000 && sched_yield() == 0);
	CHECK(errno == ESRCH);
	success();
	return 0;
}
