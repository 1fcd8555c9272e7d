// calls: clone clone3 mmap wait4
#include "guest.h"
#include <sys/ipc.h>
#include <sys/shm.h>

/* Memory shared with another process, which nobody can keep coherent elsewhere: still right, seen from any thread. */
static volatile int *shared;

static void *worker(void *arg)
{
	place((long)arg);
	for (int i = 0; i < 50; i++)
		__atomic_fetch_add(&shared[0], 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(void)
{
	int status;

	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	pid_t child = fork();

	if (child == 0) {
		for (int i = 0; i < 1000; i++)
			__atomic_fetch_add(&shared[0], 1, __ATOMIC_SEQ_CST);
		_exit(0);
	}
	run_threads(3, worker);
	CHECK(waitpid(child, &status, 0) == child && status == 0 && shared[0] == 1150);
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);

	CHECK(id >= 0 && (shared = shmat(id, NULL, 0)) != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	run_threads(3, worker);
	CHECK(shared[0] == 150 && shmdt((void *)shared) == 0);
	success();
	return 0;
}
