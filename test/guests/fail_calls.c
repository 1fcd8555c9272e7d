// only: errnos
#include "guest.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

/* Has system calls fail with the error they ask for. "fail_calls PROGRAM ARG.." runs a program, popcorn run say, under a
 * filter that does that to calls whose first argument is MAGIC. "fail_calls - NUMBER[!ERRNO].." makes these calls, from node 1,
 * with every error there is but the one named, and holds that it sees exactly that one. */

#define MAGIC 0x5eed00005eedull
#define ARG(n, half) (offsetof(struct seccomp_data, args) + 8 * (n) + 4 * (half))
#define IF_NOT(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define LAST_ERRNO 133

static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(0, 0)),
		IF_NOT((uint32_t)MAGIC, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(0, 1)),
		IF_NOT((uint32_t)(MAGIC >> 32), 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(1, 0)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SECCOMP_RET_DATA),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof code / sizeof *code, code};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "-") != 0) {
		filter();
		execvp(argv[1], argv + 1);
		CHECK(!"executed");
	}
	place(1);
	for (int i = 2; i < argc; i++) {
		char *end;
		long nr = strtol(argv[i], &end, 10), but = *end ? strtol(end + 1, NULL, 10) : 0;

		for (long want = 1; want <= LAST_ERRNO; want++) {
			if (want == but)
				continue;
			errno = 0;
			long ret = syscall(nr, MAGIC, want, 0, 0, 0, 0);

			if (ret != -1 || errno != want) {
				printf("call %ld was to fail with %ld: %ld, errno %d\n", nr, want, ret, errno);
				return 1;
			}
		}
	}
	success();
	return 0;
}
