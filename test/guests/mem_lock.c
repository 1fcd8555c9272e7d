// calls: getpid mincore mlock msync munlock openat pread64 process_vm_readv
#include "faulting.h"
#include <sys/prctl.h>

/* Calls about memory that change none of it: mlock, mincore, msync, prctl names, process_vm_readv of oneself. */
int main(void)
{
	char *p = map_pages(4), out[8] = "";
	unsigned char in_core[4];

	strcpy(p + PAGE, "locked");
	hop();
	CHECK(mlock(p, 2 * PAGE) == 0 && strcmp(p + PAGE, "locked") == 0 && munlock(p, 2 * PAGE) == 0);
	CHECK(mincore(p, 4 * PAGE, in_core) == 0 && mincore(p + 1, PAGE, in_core) == -1 && errno == EINVAL);
	hop();
	CHECK(msync(p, PAGE, MS_SYNC) == 0);
	struct iovec to = {out, 6}, from = {p + PAGE, 6};

	CHECK(process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 6 && memcmp(out, "locked", 6) == 0);
	hop();
	int fd = open("/proc/self/mem", O_RDONLY);

	CHECK(fd >= 0 && pread(fd, out, 6, (off_t)(uintptr_t)(p + PAGE)) == 6 && memcmp(out, "locked", 6) == 0);
	success();
	return 0;
}
