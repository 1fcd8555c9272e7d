// calls: fstat nanosleep fork execveat mlock mlock2 munlock munlockall process_vm_readv process_vm_writev rseq sched_yield setsid
// calls: popcorn_migrate popcorn_propose_migration popcorn_get_thread_status popcorn_get_node_info
#include "guest.h"

#define SYS(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static void memory(void)
{
	char *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), text[8] = "";
	struct iovec mine = {text, 7}, there = {m + PAGE - 3, 7};

	CHECK(m != MAP_FAILED && SYS(mlock, m, PAGE) == 0 && SYS(mlock2, m + PAGE, PAGE, 1) == 0);
	strcpy(m + PAGE - 3, "across");
	CHECK(SYS(process_vm_readv, getpid(), &mine, 1, &there, 1, 0) == 7 && strcmp(text, "across") == 0);
	text[0] = 'A';
	CHECK(SYS(process_vm_writev, getpid(), &mine, 1, &there, 1, 0) == 7 && strcmp(m + PAGE - 3, "Across") == 0);
	CHECK(SYS(munlock, m, PAGE) == 0 && SYS(munlockall) == 0 && munmap(m, 4 * PAGE) == 0);
}

static void *worker(void *arg) /* a thread registers restartable sequences */
{
	struct timespec ts = {0, 1000000};

	CHECK(SYS(nanosleep, &ts, NULL) == 0 && SYS(sched_yield) == 0);
	return arg;
}

static void own(void)
{
	int here = popcorn_current_nid(), nid = -1;
	struct popcorn_thread_status status;
	static struct popcorn_node_info info[MAX_POPCORN_NODES];

	if (nodes() == 0)
		return;
	CHECK(syscall(901, 0, 1) == 0 && popcorn_get_status(&status) == 0 && status.proposed_nid == 1);
	CHECK(popcorn_get_node_info(&nid, info) == 0 && nid == here && status.current_nid == here);
	go(0);
	if (here > 0)
		go(here);
}

/* What no other guest calls by itself. */
int main(int argc, char **argv)
{
	struct stat st;
	int status;
	char *again[] = {"again", NULL};

	if (argc == 0 || strcmp(argv[0], "again") == 0) {
		success();
		return 0;
	}
	memory();
	run_threads(2, worker);
	hop();
	own();
	CHECK(SYS(setsid) == getpid() || errno == EPERM); /* a leader already, when started by a shell */
	CHECK(SYS(fstat, 0, &st) == 0 && SYS(fstat, -1, &st) == -1 && errno == EBADF);
	pid_t pid = SYS(fork);

	if (pid == 0)
		_exit(7);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	hop();
	int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	SYS(execveat, self, "", again, environ, AT_EMPTY_PATH);
	CHECK(!"execveat returned");
}
