// build: -fno-stack-protector
// calls: clone exit exit_group
#include "guest.h"
#include <linux/sched.h>

static char stacks[2][64 * 1024] __attribute__((aligned(16)));
static _Atomic uint32_t gone[2] = {1, 1};
static _Atomic int sum;

static int body(void *arg)
{
	atomic_fetch_add(&sum, (long)arg);
	syscall(SYS_exit, 0);
	return 0;
}

/* Bare clone, without the C library's help: the kernel's own word says when the thread is gone. */
int main(void)
{
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID |
		    CLONE_PARENT_SETTID;

	for (int round = 0; round < 10; round++) {
		hop();
		for (int i = 0; i < 2; i++) {
			pid_t tid = 0;

			gone[i] = 1;
			int got = clone(body, stacks[i] + sizeof stacks[i], flags, (void *)(long)(i + 1), &tid, NULL, &gone[i]);

			CHECK(got > 0 && tid == got);
		}
		for (int i = 0; i < 2; i++)
			while (atomic_load(&gone[i]) != 0)
				sys_futex((uint32_t *)&gone[i], FUTEX_WAIT, 1, NULL, NULL, 0);
	}
	CHECK(atomic_load(&sum) == 30);
	success();
	return 0;
}
