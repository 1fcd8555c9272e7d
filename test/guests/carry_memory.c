// only: checkpoint
/* Memory of every kind keeps content and protection: data, heap, stack, anonymous, guards, a private and a shared file. */
#include "carry.h"

#include <setjmp.h>

static char data[3 * PAGE] = "data", bss[5 * PAGE];
static sigjmp_buf env;

static void onsegv(int sig) { siglongjmp(env, sig); }

static bool readable(const volatile char *p)
{
	if (sigsetjmp(env, 1))
		return false;
	(void)*p;
	return true;
}

static bool writable(volatile char *p)
{
	if (sigsetjmp(env, 1))
		return false;
	*p = *p;
	return true;
}

int main(void)
{
	char onstack[PAGE];
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *heap = malloc(1 << 20), *brk0 = sbrk(0);
	char *anon = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *none = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *priv, *file, *shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	signal(SIGSEGV, onsegv);
	CHECK(fd >= 0 && ftruncate(fd, 4 * PAGE) == 0 && pwrite(fd, "on disk", 7, PAGE) == 7);
	priv = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	file = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(anon != MAP_FAILED && none != MAP_FAILED && priv != MAP_FAILED && file != MAP_FAILED && shared != MAP_FAILED);
	memset(heap, 7, 1 << 20);
	memset(bss + PAGE, 9, PAGE);
	memset(onstack, 3, sizeof(onstack));
	strcpy(data + 2 * PAGE, "more");
	strcpy(anon + 5 * PAGE, "anonymous");
	strcpy(priv, "mine");
	strcpy(shared + 3 * PAGE, "shared");
	CHECK(mprotect(anon + 10 * PAGE, PAGE, PROT_READ) == 0);
	CHECK(mprotect(anon + 5 * PAGE, PAGE, PROT_READ) == 0);
	saved();
	for (int i = 0; i < 1 << 20; i++)
		CHECK(heap[i] == 7);
	for (int i = 0; i < PAGE; i++)
		CHECK(bss[i] == 0 && bss[PAGE + i] == 9 && bss[2 * PAGE + i] == 0 && onstack[i] == 3);
	CHECK(strcmp(data, "data") == 0 && strcmp(data + 2 * PAGE, "more") == 0);
	CHECK(strcmp(anon + 5 * PAGE, "anonymous") == 0 && anon[20 * PAGE] == 0);
	CHECK(strcmp(priv, "mine") == 0 && strcmp(priv + PAGE, "on disk") == 0 && strcmp(shared + 3 * PAGE, "shared") == 0);
	CHECK(!readable(none) && readable(anon + 10 * PAGE) && !writable(anon + 10 * PAGE) && !writable(anon + 5 * PAGE));
	CHECK(writable(anon + 11 * PAGE));
	strcpy(file + 2 * PAGE, "written");
	CHECK(pread(fd, onstack, 8, 2 * PAGE) == 8 && strcmp(onstack, "written") == 0);
	CHECK(sbrk(0) == brk0 && sbrk(PAGE) == brk0 && sbrk(0) == brk0 + PAGE);
	CHECK(madvise(anon + 20 * PAGE, PAGE, MADV_DONTNEED) == 0 && anon[20 * PAGE] == 0);
	success();
}
