// args: 100
#include "guest.h"

static jmp_buf env;

static void __attribute__((noinline)) jump(int depth, int value)
{
	volatile char pad[100];

	pad[0] = depth;
	if (depth == 0) {
		place(value);
		longjmp(env, value);
	}
	jump(depth - 1, value);
	pad[1] = pad[0];
}

/* setjmp here, longjmp there. */
int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	volatile int next = 1;
	int got = setjmp(env);

	CHECK(got == 0 || got == next - 1);
	if (next <= rounds) {
		place(next + 1);
		jump(10, next++);
	}
	CHECK(got == rounds);
	success();
	return 0;
}
