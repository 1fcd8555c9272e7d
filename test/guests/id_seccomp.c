#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void *child(void *arg)
{
	CHECK(syscall(SYS_getppid) == -1 && errno == 77);
	return arg;
}

/* Whatever else is called in this thread, or in those that it makes, ends the program. */
static void *sandboxed(void *arg)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
		ALLOW(SYS_write), ALLOW(SYS_futex), ALLOW(SYS_exit), ALLOW(SYS_exit_group), ALLOW(SYS_gettid), ALLOW(SYS_mmap),
		ALLOW(SYS_munmap), ALLOW(SYS_mprotect), ALLOW(SYS_madvise), ALLOW(SYS_brk), ALLOW(SYS_rseq), ALLOW(SYS_clone3),
		ALLOW(SYS_set_robust_list), ALLOW(SYS_rt_sigprocmask), ALLOW(SYS_clock_nanosleep), ALLOW(SYS_restart_syscall),
		ALLOW(SYS_sched_yield), ALLOW(SYS_clone), ALLOW(SYSCALL_POPCORN_MIGRATE), ALLOW(SYSCALL_POPCORN_TELEFORK),
		ALLOW(SYSCALL_POPCORN_GET_THREAD_STATUS), ALLOW(SYSCALL_POPCORN_GET_NODE_INFO), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof f / sizeof *f, f};
	pthread_t t;

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if ((long)arg == 1)
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
	else
		CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0);
	for (int i = 0; i < 20; i++) {
		CHECK(syscall(SYS_getppid) == -1 && errno == 77);
		sleep_ms(5);
	}
	CHECK(pthread_create(&t, NULL, child, NULL) == 0 && pthread_join(t, NULL) == 0);
	return NULL;
}

static pthread_barrier_t all; /* from then on some have been away */

static void *worker(void *arg)
{
	place((long)arg);
	pthread_barrier_wait(&all);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) == -1 && errno == EFAULT); /* asked, no more */
	hop();
	sandboxed(arg);
	if (nodes() > 1) {
		CHECK(migrate(1, NULL, NULL) == EAGAIN && popcorn_current_nid() == 0);
		CHECK(popcorn_telefork(0) == -1 && errno == EPERM);
	}
	return NULL;
}

/* Threads under filters of their own, others that move about beside them, and a child under such a filter. */
int main(void)
{
	pthread_t t[2];
	int status;

	pthread_barrier_init(&all, NULL, 3);
	pthread_create(&t[0], NULL, worker, (void *)1L);
	pthread_create(&t[1], NULL, worker, (void *)2L);
	hop();
	pthread_barrier_wait(&all);
	for (int i = 0; i < 10; i++) {
		hop();
		sleep_ms(5);
	}
	pthread_join(t[0], NULL), pthread_join(t[1], NULL);
	CHECK(getppid() > 0);
	pid_t pid = fork();
	if (pid == 0) {
		sandboxed((void *)0L);
		_exit(7);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	success();
	return 0;
}
