// args: 60
// soak: 2000
#include "guest.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* All sixteen vector registers hold values of their own across the call itself: nothing is spilled by a compiler. */
__attribute__((target("avx"), noinline)) static long move_with_ymm(int nid, const uint8_t in[512], uint8_t out[512])
{
	long ret;

	__asm__ volatile("vmovdqu 0(%[in]), %%ymm0\n\tvmovdqu 32(%[in]), %%ymm1\n\tvmovdqu 64(%[in]), %%ymm2\n\t"
			 "vmovdqu 96(%[in]), %%ymm3\n\tvmovdqu 128(%[in]), %%ymm4\n\tvmovdqu 160(%[in]), %%ymm5\n\t"
			 "vmovdqu 192(%[in]), %%ymm6\n\tvmovdqu 224(%[in]), %%ymm7\n\tvmovdqu 256(%[in]), %%ymm8\n\t"
			 "vmovdqu 288(%[in]), %%ymm9\n\tvmovdqu 320(%[in]), %%ymm10\n\tvmovdqu 352(%[in]), %%ymm11\n\t"
			 "vmovdqu 384(%[in]), %%ymm12\n\tvmovdqu 416(%[in]), %%ymm13\n\tvmovdqu 448(%[in]), %%ymm14\n\t"
			 "vmovdqu 480(%[in]), %%ymm15\n\t"
			 "syscall\n\t"
			 "vmovdqu %%ymm0, 0(%[out])\n\tvmovdqu %%ymm1, 32(%[out])\n\tvmovdqu %%ymm2, 64(%[out])\n\t"
			 "vmovdqu %%ymm3, 96(%[out])\n\tvmovdqu %%ymm4, 128(%[out])\n\tvmovdqu %%ymm5, 160(%[out])\n\t"
			 "vmovdqu %%ymm6, 192(%[out])\n\tvmovdqu %%ymm7, 224(%[out])\n\tvmovdqu %%ymm8, 256(%[out])\n\t"
			 "vmovdqu %%ymm9, 288(%[out])\n\tvmovdqu %%ymm10, 320(%[out])\n\tvmovdqu %%ymm11, 352(%[out])\n\t"
			 "vmovdqu %%ymm12, 384(%[out])\n\tvmovdqu %%ymm13, 416(%[out])\n\tvmovdqu %%ymm14, 448(%[out])\n\t"
			 "vmovdqu %%ymm15, 480(%[out])\n\t"
			 : "=a"(ret)
			 : "a"(900l), "D"((long)nid), "S"(0l), [in] "r"(in), [out] "r"(out)
			 : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
			   "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	return ret;
}

static void check_vectors(int rounds)
{
	uint8_t in[512], out[512];

	if (!__builtin_cpu_supports("avx"))
		return;
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < 512; i++)
			in[i] = i * 31 + r;
		move_with_ymm(nodes() ? r % nodes() : 0, in, out);
		CHECK(memcmp(in, out, sizeof in) == 0);
	}
}
#else
static void check_vectors(int rounds) { (void)rounds; }
#endif

/* Vector registers survive every move. */
int main(int argc, char **argv)
{
	check_vectors(argc > 1 ? atoi(argv[1]) : 300);
	success();
	return 0;
}
