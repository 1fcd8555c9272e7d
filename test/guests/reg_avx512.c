// args: 60
// soak: 2000
#include "guest.h"

#if defined(__x86_64__)
/* The upper sixteen 512-bit registers and the mask registers hold values of their own across the call. */
__attribute__((target("avx512f,avx512bw"), noinline)) static void move_with_zmm(int nid, const uint8_t *in, uint8_t *out)
{
	long ret;

	__asm__ volatile("vmovdqu64 0(%[in]), %%zmm16\n\tvmovdqu64 64(%[in]), %%zmm17\n\tvmovdqu64 128(%[in]), %%zmm20\n\t"
			 "vmovdqu64 192(%[in]), %%zmm25\n\tvmovdqu64 256(%[in]), %%zmm31\n\tvmovdqu64 320(%[in]), %%zmm0\n\t"
			 "kmovq 384(%[in]), %%k1\n\tkmovq 392(%[in]), %%k7\n\t"
			 "syscall\n\t"
			 "vmovdqu64 %%zmm16, 0(%[out])\n\tvmovdqu64 %%zmm17, 64(%[out])\n\tvmovdqu64 %%zmm20, 128(%[out])\n\t"
			 "vmovdqu64 %%zmm25, 192(%[out])\n\tvmovdqu64 %%zmm31, 256(%[out])\n\tvmovdqu64 %%zmm0, 320(%[out])\n\t"
			 "kmovq %%k1, 384(%[out])\n\tkmovq %%k7, 392(%[out])"
			 : "=a"(ret)
			 : "0"(900l), "D"((long)nid), "S"(0l), [in] "r"(in), [out] "r"(out)
			 : "rcx", "r11", "memory", "xmm0", "xmm16", "xmm17", "xmm20", "xmm25", "xmm31", "k1", "k7");
}

static void check_vectors(int rounds)
{
	uint8_t in[400], out[400];

	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw"))
		return;
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < 400; i++)
			in[i] = i * 29 + r;
		move_with_zmm(nodes() ? r % nodes() : 0, in, out);
		CHECK(memcmp(in, out, sizeof in) == 0);
	}
}
#else
static void check_vectors(int rounds) { (void)rounds; }
#endif

/* The wide registers survive every move, where the machine has them. */
int main(int argc, char **argv)
{
	check_vectors(argc > 1 ? atoi(argv[1]) : 300);
	success();
	return 0;
}
