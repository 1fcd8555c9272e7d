// args: 12
// soak: 500
// calls: clock_gettime mmap
#include "guest.h"
#include <elf.h>
#include <sys/auxv.h>
#include <x86intrin.h>

/* Every function of the vDSO, called as C libraries call it, gives what its system call gives, wherever the thread is.
 * The newest of them, getrandom, has a state that libraries get at one place and use at another.
 */
struct params {
	uint32_t size, prot, flags, reserved[13];
};
typedef long (*function)(void *, uint64_t, uint64_t, void *, uint64_t);

static function find(const char *name)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const void *)image;
	const Elf64_Shdr *sh = (const void *)(image + eh->e_shoff);

	CHECK(image != NULL);
	for (int i = 0; i < eh->e_shnum; i++) {
		if (sh[i].sh_type != SHT_DYNSYM)
			continue;
		const Elf64_Sym *syms = (const void *)(image + sh[i].sh_offset);
		const char *names = image + sh[sh[i].sh_link].sh_offset;

		for (size_t k = 0; k < sh[i].sh_size / sizeof *syms; k++)
			if (strcmp(names + syms[k].st_name, name) == 0)
				return (function)(uintptr_t)(image + syms[k].st_value);
	}
	return NULL;
}

static int64_t nanoseconds(struct timespec ts) { return ts.tv_sec * 1000000000ll + ts.tv_nsec; }

static void read_time(function gettime, function gettimeofday_, function time_, function getres)
{
	struct timespec before, between, after, res;
	struct timeval tv;

	CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before) == 0);
	CHECK(gettime((void *)CLOCK_MONOTONIC, (uintptr_t)&between, 0, NULL, 0) == 0);
	CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after) == 0);
	CHECK(nanoseconds(before) <= nanoseconds(between) && nanoseconds(between) <= nanoseconds(after));
	CHECK(gettime((void *)CLOCK_PROCESS_CPUTIME_ID, (uintptr_t)&between, 0, NULL, 0) == 0);
	CHECK(gettime((void *)12345, (uintptr_t)&between, 0, NULL, 0) == -EINVAL);
	CHECK(gettimeofday_(&tv, 0, 0, NULL, 0) == 0);
	CHECK(labs(time_(NULL, 0, 0, NULL, 0) - tv.tv_sec) <= 2);
	CHECK(getres((void *)CLOCK_MONOTONIC, (uintptr_t)&res, 0, NULL, 0) == 0 && res.tv_sec == 0 && res.tv_nsec > 0);
}

static void read_random(function getrandom_, void **state, struct params *p)
{
	unsigned char a[32], b[32];

	if (getrandom_ == NULL)
		return;
	if (*state == NULL && getrandom_(NULL, 0, 0, p, ~0ull) == 0) {
		CHECK(p->size > 0 && p->size <= PAGE);
		*state = mmap(NULL, PAGE, p->prot, p->flags, -1, 0);
		CHECK(*state != MAP_FAILED);
	}
	if (*state == NULL)
		return;
	CHECK(getrandom_(a, sizeof a, 0, *state, p->size) == sizeof a);
	CHECK(getrandom_(b, sizeof b, 0, *state, p->size) == sizeof b);
	CHECK(memcmp(a, b, sizeof a) != 0);
}

int main(int argc, char **argv)
{
	function getcpu_ = find("__vdso_getcpu");
	struct params p;
	void *state = NULL;
	uint64_t count = 0;

	CHECK(argc == 2);
	for (int r = 0; r < atoi(argv[1]); r++) {
		unsigned cpu = 12345;

		place(r);
		read_time(find("__vdso_clock_gettime"), find("__vdso_gettimeofday"), find("__vdso_time"),
			  find("__vdso_clock_getres"));
		read_random(find("__vdso_getrandom"), &state, &p);
		CHECK(getcpu_(&cpu, 0, 0, NULL, 0) == 0 && cpu != 12345);
		uint64_t now = __rdtsc();

		CHECK(now >= count);
		count = now;
	}
	success();
	return 0;
}
