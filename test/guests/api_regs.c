#include "guest.h"

static char stack[64 * 1024] __attribute__((aligned(16)));
static jmp_buf back;
static volatile uint64_t seen_rbx, seen_rax, seen_r15;

__attribute__((noinline, used)) static void landed(void)
{
	CHECK(nodes() < 2 || current_nid() == 1);
	CHECK(seen_rax == 0 && seen_rbx == 0x1122334455667788 && seen_r15 == 0x99aabbccddeeff00);
	longjmp(back, 1);
}

#if defined(__x86_64__)
/* Notes its registers before any compiler touches them. */
__asm__(".text\n"
	"landing:\n\t"
	"mov %rax, seen_rax(%rip)\n\t"
	"mov %rbx, seen_rbx(%rip)\n\t"
	"mov %r15, seen_r15(%rip)\n\t"
	"call landed\n\t"
	"hlt\n");
extern char landing[];
#endif

/* migrate with a register set: execution resumes from it, on its stack, with 0 in rax whatever it says. */
int main(void)
{
#if defined(__x86_64__)
	struct popcorn_regset regs = {0};

	_Static_assert(offsetof(struct popcorn_regset, rsp) == 64, "layout");
	_Static_assert(offsetof(struct popcorn_regset, xmm) == 208, "layout");
	_Static_assert(offsetof(struct popcorn_regset, rflags) == 616, "layout");
	regs.rip = (unsigned long)landing;
	regs.rsp = (unsigned long)(stack + sizeof stack - 64);
	regs.rax = 7;
	regs.rbx = 0x1122334455667788;
	regs.r15 = 0x99aabbccddeeff00;
	regs.rflags = 0x202;
	regs.cs = 0x33, regs.ss = 0x2b;
	if (nodes() > 1) {
		go(0);
		if (setjmp(back) == 0) {
			popcorn_migrate_regs(1, &regs);
			CHECK(!"resumed from its registers");
		}
		go(0);
	} else {
		CHECK(popcorn_migrate_regs(1, &regs) == -1);
		CHECK(errno == (nodes() ? EAGAIN : ENOSYS));
	}
#endif
	success();
	return 0;
}
