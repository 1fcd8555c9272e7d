// only: hostile
#include "guest.h"
#include <sys/resource.h>
#include <sys/socket.h>

/* What a program can try against the host it was moved to: it must be the same as trying it at home. */

/* Where popcorn's own code lies in every guest, and a system call instruction in it, followed by a breakpoint. */
#define AGENT ((unsigned char *)0x6f0000000000)

static unsigned char *agent_call(void)
{
	for (int i = 0; i < PAGE - 2; i++)
		if (AGENT[i] == 0x0f && AGENT[i + 1] == 0x05 && AGENT[i + 2] == 0xcc)
			return AGENT + i;
	CHECK(!"the agent has no such instruction");
	return NULL;
}

/* Makes a call with the instruction pointer in the agent; the breakpoint behind it ends the program. */
static void jump(long nr, long a, long b)
{
	unsigned char *to = agent_call();
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 0;

	__asm__ volatile("jmp *%0" : : "b"(to), "a"(nr), "D"(a), "S"(b), "d"(0), "r"(r10), "r"(r8), "r"(r9) : "memory");
}

/* Numbers that end, replace, double or block a process when they succeed, or leave something behind that outlives it. */
static const int excepted[] = {SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_pause,
			       SYS_rt_sigreturn, SYS_msgget, SYS_vhangup, SYS_sync, SYS_restart_syscall};

static bool is_excepted(int nr)
{
	for (size_t i = 0; i < sizeof excepted / sizeof *excepted; i++)
		if (excepted[i] == nr)
			return true;
	return false;
}

/* Every call there is, and some there are not, with arguments that none takes; a few with arguments that are right. */
static void try_calls(void)
{
	for (int nr = 0; nr < 600; nr++)
		if (!is_excepted(nr))
			syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L);
	syscall(0x40000000 | SYS_getpid); /* x32 */
	syscall(-1);
	umask(0777);
	CHECK(setpriority(PRIO_PROCESS, 0, 7) == 0);
	CHECK(chdir("..") == 0);
	for (int i = 0; i < 20; i++)
		CHECK(socket(AF_UNIX, SOCK_STREAM, 0) >= 0 && dup(2) >= 0);
	CHECK(mmap((void *)0x123450000000, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	      MAP_FAILED);
}

/* Calls of the process's own memory, files, threads and life: with luck a random one harms the program itself. */
static const int harmful[] = {SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_brk, SYS_close, SYS_close_range, SYS_dup2, SYS_dup3,
			      SYS_kill, SYS_tkill, SYS_tgkill, SYS_alarm, SYS_arch_prctl, SYS_rt_sigaction, SYS_rt_sigprocmask, 335, 336};

static bool is_harmful(int nr)
{
	for (size_t i = 0; i < sizeof harmful / sizeof *harmful; i++)
		if (harmful[i] == nr)
			return true;
	return is_excepted(nr);
}

static uint64_t any(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* Every number there is or may be, of both kinds of 64-bit calls, with any arguments. As nobody: what is made at home can
 * do little there; the process that lends the remote's processor is still root's. */
static int try_all(int rounds)
{
	int tries = 0;

	CHECK(syscall(SYS_setresgid, 65534, 65534, 65534) == 0 && syscall(SYS_setresuid, 65534, 65534, 65534) == 0);
	for (int r = 0; r < rounds; r++)
		for (int nr = 0; nr < 600; nr++) {
			if (!is_harmful(nr)) {
				syscall(nr, any(), any(), any(), any(), any(), any());
				tries++;
			}
			syscall(0x40000000 | nr, any(), any(), any(), any(), any(), any());
			tries++;
		}
	return tries;
}

/* A call of the 32-bit table. */
static void old_call(long nr)
{
	long ret = nr;

	__asm__ volatile("int $0x80" : "+a"(ret) : "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	dprintf(1, "call %ld of another table returned %ld\n", nr, ret);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "calls") == 0) {
		try_calls();
		CHECK(popcorn_current_nid() == 1 || nodes() == 0);
		dprintf(1, "tried\n");
		while (access("cwd/checked", F_OK) != 0)
			sleep_ms(5);
		success();
	} else if (strcmp(what, "all") == 0) {
		CHECK(popcorn_current_nid() == 1);
		CHECK(try_all(atoi(argv[2])) > 1000 * atoi(argv[2]));
		CHECK(popcorn_current_nid() == 1);
		success();
	} else if (strcmp(what, "old-anywhere") == 0) {
		old_call(atoi(argv[2]));
	} else if (strcmp(what, "old") == 0) {
		CHECK(popcorn_current_nid() == 1);
		old_call(atoi(argv[2]));
	} else if (strcmp(what, "write") == 0) {
		AGENT[0x100] = 0x90;
	} else if (strcmp(what, "creat") == 0) {
		jump(SYS_creat, (long)"hostile-file", 0600);
	} else if (strcmp(what, "thread") == 0) {
		jump(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, 0);
	} else if (strcmp(what, "fork") == 0) {
		jump(SYS_clone, SIGCHLD, 0);
	}
	return 0;
}
